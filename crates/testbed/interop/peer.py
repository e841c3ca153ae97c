"""A participant of LiveKit's Python SDK that does what it is told: what peer.mjs is in JavaScript.

Reads one JSON object a line from standard input, answers each with an "answer" on standard output,
and ends with its input. "do" names a method of Peer, the rest are its arguments. Where "join" gets
a key, in hexadecimal, everything is encrypted.
"""

import asyncio
import json
import logging
import sys
from contextlib import aclosing

import numpy
from livekit import rtc

RATE = 48_000
FRAME = RATE // 100
# Half of full scale.
AMPLITUDE = 0.5
FULL_SCALE = 32_768
# Half a second: enough for a clear verdict on a pitch.
WINDOW = RATE // 2


def tone(samples, hz):
    """The share of the samples' power that lies at a frequency, 0 to 1, and its amplitude."""
    samples = samples / FULL_SCALE
    power = numpy.square(samples).sum()
    wave = numpy.exp(-2j * numpy.pi * hz / RATE * numpy.arange(len(samples)))
    length = float(abs(numpy.dot(samples, wave)))
    share = 0.0 if power == 0 else float(2 * length**2 / (power * len(samples)))
    return share, 2 * length / len(samples)


async def play(source, hz):
    start = 0
    while True:
        times = numpy.arange(start, start + FRAME) / RATE
        samples = numpy.sin(2 * numpy.pi * hz * times) * AMPLITUDE * FULL_SCALE
        frame = rtc.AudioFrame(samples.astype(numpy.int16).tobytes(), RATE, 1, FRAME)
        await source.capture_frame(frame)
        start += FRAME


async def listen(track):
    """Half a second at a time of what a track sounds like, from half a second after now: what the
    engine still had in its buffers is old."""
    stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
    try:
        heard = numpy.zeros(0, dtype=numpy.int16)
        is_old = True
        async for event in stream:
            samples = numpy.frombuffer(event.frame.data, dtype=numpy.int16)
            heard = numpy.concatenate([heard, samples])
            if len(heard) < WINDOW:
                continue
            if not is_old:
                yield heard
            is_old = False
            heard = heard[:0]
    finally:
        await stream.aclose()
    raise RuntimeError("the track has ended")


class Peer:
    def __init__(self):
        self.room = rtc.Room()
        self.track = asyncio.get_running_loop().create_future()
        self.packets = asyncio.Queue()
        self.states = []
        self.tasks = []

    async def join(self, url, token, key, ratchet_window, hz):
        @self.room.on("track_subscribed")
        def _(track, publication, participant):
            if track.kind == rtc.TrackKind.KIND_AUDIO:
                self.track.set_result(track)

        @self.room.on("data_received")
        def _(packet):
            self.packets.put_nowait(bytes(packet.data).decode())

        @self.room.on("e2ee_state_changed")
        def _(participant, state):
            name = rtc.EncryptionState.Name(state)
            self.states.append(f"{participant.identity} {name}")

        encryption = None
        if key is not None:
            options = rtc.KeyProviderOptions(
                shared_key=bytes.fromhex(key), ratchet_window_size=ratchet_window
            )
            encryption = rtc.E2EEOptions(key_provider_options=options)
        await self.room.connect(url, token, rtc.RoomOptions(encryption=encryption))
        source = rtc.AudioSource(RATE, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("tone", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self.room.local_participant.publish_track(track, options)
        self.tasks.append(asyncio.create_task(play(source, hz)))

    async def hear(self, hz):
        """Listens until half a second is the tone."""
        async with aclosing(listen(await self.track)) as windows:
            async for heard in windows:
                share, amplitude = tone(heard, hz)
                if share > 0.9:
                    return {"amplitude": amplitude}

    async def share(self, hz):
        """How much of the loudest of three windows is the tone."""
        async with aclosing(listen(await self.track)) as windows:
            shares = [tone(await anext(windows), hz)[0] for _ in range(3)]
        return {"share": max(shares)}

    async def send(self, text, reliable):
        await self.room.local_participant.publish_data(text, reliable=reliable)
        return {}

    async def receive(self):
        return {"text": await self.packets.get()}

    async def key(self, key, index):
        """Another key for everything from now on."""
        self.room.e2ee_manager.key_provider.set_shared_key(bytes.fromhex(key), index)
        for cryptor in self.room.e2ee_manager.frame_cryptors():
            cryptor.set_key_index(index)
        return {}

    async def ratchet(self, index):
        return {"key": self.room.e2ee_manager.key_provider.ratchet_shared_key(index).hex()}

    async def told(self):
        """What was told of encryption."""
        return {"states": self.states}


async def main():
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    peer = Peer()
    peer_calls = {
        "join": peer.join,
        "hear": peer.hear,
        "share": peer.share,
        "send": peer.send,
        "receive": peer.receive,
        "key": peer.key,
        "ratchet": peer.ratchet,
        "told": peer.told,
    }
    while line := await lines.readline():
        command = json.loads(line)
        answer = await peer_calls[command.pop("do")](**command)
        print(json.dumps({"answer": answer or {}}), flush=True)
    for task in peer.tasks:
        task.cancel()
    await asyncio.gather(*peer.tasks, return_exceptions=True)
    await peer.room.disconnect()


asyncio.run(main())
