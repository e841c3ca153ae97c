"""Sits in rooms with the official Python SDK and obeys: a line of JSON in, a line of JSON out.

The counterpart of the role `rooms` of the program `bench`: the same orders, the same answers,
the same audio. Ends when standard input does.
"""

import argparse
import asyncio
import json
import pathlib
import sys
import time

import numpy as np
from livekit import rtc

FRAME_MS = 20
TRACK_BUFFER_MS = 100
STEP_LIMIT = 60.0
# A sample beyond this is sound, about -36 dBFS.
SOUND = 500


class Process:
    def __init__(self, rate: int, speech: pathlib.Path, listens: bool) -> None:
        self.rate = rate
        self.listens = listens
        self.length = rate // 1000 * FRAME_MS
        pcm = speech.read_bytes()
        size = self.length * 2
        # Made once: what is measured is the engine, not the cutting of frames.
        self.frames = [
            rtc.AudioFrame(pcm[at : at + size], rate, 1, self.length)
            for at in range(0, len(pcm) - size + 1, size)
        ]
        self.seats: list[rtc.Room] = []
        self.tasks: set[asyncio.Task] = set()
        self.spoken_frames = 0
        self.heard_samples = 0

    async def join(self, rooms: list[dict]) -> dict:
        join_ms, sound_ms = [], []
        for ticket in rooms:
            began = time.monotonic()
            heard = asyncio.Event()
            room = rtc.Room()

            def subscribed(track, publication, participant, heard=heard) -> None:
                if self.listens and track.kind == rtc.TrackKind.KIND_AUDIO:
                    self.keep(self.listen(track, heard))

            room.on("track_subscribed", subscribed)
            await asyncio.wait_for(room.connect(ticket["url"], ticket["token"]), STEP_LIMIT)
            join_ms.append((time.monotonic() - began) * 1000)
            source = rtc.AudioSource(self.rate, 1, queue_size_ms=TRACK_BUFFER_MS)
            track = rtc.LocalAudioTrack.create_audio_track("voice", source)
            options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await room.local_participant.publish_track(track, options)
            self.keep(self.speak(source, len(self.seats)))
            self.seats.append(room)
            if self.listens:
                await asyncio.wait_for(heard.wait(), STEP_LIMIT)
                sound_ms.append((time.monotonic() - began) * 1000)
        return {"join_ms": join_ms, "sound_ms": sound_ms}

    def keep(self, work) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def speak(self, source: rtc.AudioSource, voice: int) -> None:
        at = voice * 50
        while True:
            await source.capture_frame(self.frames[at % len(self.frames)])
            self.spoken_frames += 1
            at += 1

    async def listen(self, track, heard: asyncio.Event) -> None:
        stream = rtc.AudioStream(track, sample_rate=self.rate, num_channels=1)
        async for event in stream:
            self.heard_samples += event.frame.samples_per_channel
            if not heard.is_set():
                pcm = np.frombuffer(event.frame.data, dtype=np.int16)
                if np.abs(pcm.astype(np.int32)).max(initial=0) > SOUND:
                    heard.set()

    def count(self) -> dict:
        return {
            "spoken_ms": self.spoken_frames * FRAME_MS,
            "heard_ms": self.heard_samples * 1000 // self.rate,
            "allocations": None,
            "tasks": None,
        }

    async def leave(self) -> dict:
        for task in list(self.tasks):
            task.cancel()
        for room in self.seats:
            await asyncio.wait_for(room.disconnect(), STEP_LIMIT)
        self.seats.clear()
        return {}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--speech", type=pathlib.Path, required=True)
    parser.add_argument("--ears", choices=["open", "shut"], required=True)
    arguments = parser.parse_args()
    process = Process(arguments.rate, arguments.speech, arguments.ears == "open")
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        match order["order"]:
            case "join":
                answer = await process.join(order["rooms"])
            case "count":
                answer = process.count()
            case "leave":
                answer = await process.leave()
            case other:
                raise ValueError(f"not an order: {other}")
        print(json.dumps(answer), flush=True)


asyncio.run(main())
