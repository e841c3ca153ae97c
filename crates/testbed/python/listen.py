"""A participant on the official Python SDK, in a process of its own: the counterpart of the
program `peer`, with the arguments and the files that `bench fidelity` uses.

Says a WAV file from a given moment on, silence before and after, or records what is heard with
the time of every frame. Answers the first line of standard input when its track is published or
the other's is heard, the second with statistics as it leaves.
"""

import argparse
import asyncio
import json
import pathlib
import sys
import time
import wave

from livekit import rtc

FRAME_MS = 10
# As in `peer`: enough to catch up after a stall of a busy machine, and empty otherwise.
QUEUE_MS = 100


def now_us() -> int:
    return time.time_ns() // 1000


async def speak(source: rtc.AudioSource, path: pathlib.Path, begin_at_us: int) -> None:
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        pcm = file.readframes(file.getnframes())
    samples = rate * FRAME_MS // 1000
    silence = bytes(2 * samples)
    at = 0
    # The ticks fall so that one is exactly when speech is to begin.
    to_go = max(0, begin_at_us - now_us())
    tick = time.monotonic() + to_go % (FRAME_MS * 1000) / 1e6
    while True:
        await asyncio.sleep(max(0.0, tick - time.monotonic()))
        tick += FRAME_MS / 1000
        data = silence
        if now_us() >= begin_at_us and at < len(pcm):
            data = pcm[at : at + 2 * samples].ljust(2 * samples, b"\0")
            at += 2 * samples
        await source.capture_frame(rtc.AudioFrame(data, rate, 1, samples))


async def record(track: rtc.RemoteAudioTrack, rate: int, path: pathlib.Path) -> None:
    stream = rtc.AudioStream(track, sample_rate=rate, num_channels=1, frame_size_ms=FRAME_MS)
    with wave.open(str(path), "wb") as file, open(f"{path}.times.csv", "w") as times:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        times.write("sample,at_us\n")
        samples = 0
        async for event in stream:
            times.write(f"{samples},{now_us()}\n")
            file.writeframes(bytes(event.frame.data))
            samples += event.frame.samples_per_channel


async def concealed(track: rtc.RemoteAudioTrack) -> dict:
    for stats in await track.get_stats():
        if stats.HasField("inbound_rtp"):
            inbound = stats.inbound_rtp.inbound
            return {
                "total_samples_received": inbound.total_samples_received,
                "concealed_samples": inbound.concealed_samples,
                "silent_concealed_samples": inbound.silent_concealed_samples,
            }
    return {}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--publish", type=pathlib.Path)
    parser.add_argument("--speak-at-us", type=int, default=0)
    parser.add_argument("--record", type=pathlib.Path)
    parser.add_argument("--rate", type=int, default=16000)
    arguments = parser.parse_args()

    tracks: list[rtc.RemoteAudioTrack] = []
    tasks: set[asyncio.Task] = set()
    ready = asyncio.Event()
    room = rtc.Room()

    def subscribed(track, publication, participant) -> None:
        if arguments.record and track.kind == rtc.TrackKind.KIND_AUDIO:
            tracks.append(track)
            tasks.add(asyncio.create_task(record(track, arguments.rate, arguments.record)))
            ready.set()

    room.on("track_subscribed", subscribed)
    await room.connect(arguments.url, arguments.token)
    if arguments.publish:
        with wave.open(str(arguments.publish)) as file:
            rate = file.getframerate()
        source = rtc.AudioSource(rate, 1, queue_size_ms=QUEUE_MS)
        track = rtc.LocalAudioTrack.create_audio_track("mouth", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await room.local_participant.publish_track(track, options)
        tasks.add(asyncio.create_task(speak(source, arguments.publish, arguments.speak_at_us)))
        ready.set()
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    await ready.wait()
    print("{}", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    answer = await concealed(tracks[-1]) if tracks else {}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await room.disconnect()
    print(json.dumps(answer), flush=True)


asyncio.run(main())
