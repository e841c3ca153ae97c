"""How a recording compares with what was said: delay and score. Used by `bench fidelity`.

The delay of a place is found by correlating a second of the reference with the recording around
where it must be; the recording's own time stamps say when it was heard. The score is PESQ,
wideband (ITU-T P.862.2), over each pair of sentences, and its mean.

`fidelity.py --self-test` checks the analysis on damage that is known.
"""

import argparse
import csv
import json
import pathlib
import wave

import numpy as np
from pesq import pesq
from scipy.signal import correlate, resample_poly

RATE = 16_000
# A place every half second, of which a second is compared.
STEP_SECONDS = 0.5
WINDOW_SECONDS = 1.0
# A delay beyond this is not looked for.
MAX_DELAY_SECONDS = 2.0
# Less like the reference than this, a place says nothing about the delay.
LIKENESS = 0.5
# Quieter than this (of 32768), there is nothing to compare.
QUIET = 300
# What PESQ is given at a time: two or three sentences, as the recommendation has it.
PIECE_SECONDS = 9.0


def read(path: pathlib.Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float64)
    if rate == RATE:
        return pcm
    divisor = np.gcd(rate, RATE)
    return resample_poly(pcm, RATE // divisor, rate // divisor)


def read_times(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    with open(f"{path}.times.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    samples = np.array([int(row["sample"]) for row in rows], dtype=np.float64)
    times = np.array([int(row["at_us"]) for row in rows], dtype=np.float64)
    return samples, times


def heard_at_us(sample: float, samples: np.ndarray, times: np.ndarray) -> float:
    """When a sample of the recording was given to the application, played from then on."""
    frame = max(0, int(np.searchsorted(samples, sample, side="right")) - 1)
    return times[frame] + (sample - samples[frame]) / RATE * 1e6


def locate(window: np.ndarray, heard: np.ndarray) -> tuple[int, float]:
    """Where `window` is in `heard`, and how like it is there (1: the same)."""
    if len(heard) < len(window):
        return 0, 0.0
    dots = correlate(heard, window, mode="valid", method="fft")
    energy = np.cumsum(np.concatenate([[0.0], heard**2]))
    norms = np.sqrt(np.maximum(energy[len(window) :] - energy[: -len(window)], 1.0))
    likeness = dots / (norms * max(np.linalg.norm(window), 1.0))
    best = int(np.argmax(likeness))
    return best, float(likeness[best])


def delays_ms(
    said: np.ndarray, said_at_us: float, heard: np.ndarray, samples: np.ndarray, times: np.ndarray
) -> list[float]:
    found = []
    window = int(WINDOW_SECONDS * RATE)
    for start in range(0, len(said) - window, int(STEP_SECONDS * RATE)):
        place = said[start : start + window]
        if np.sqrt(np.mean(place**2)) < QUIET:
            continue
        mouth_us = said_at_us + start / RATE * 1e6
        # Nothing is heard before it is said; the rest is bounded.
        first = int(np.searchsorted(times, mouth_us - 50_000))
        last = int(np.searchsorted(times, mouth_us + (MAX_DELAY_SECONDS + WINDOW_SECONDS) * 1e6))
        if last <= first:
            continue
        begin, end = int(samples[min(first, len(samples) - 1)]), int(samples[min(last, len(samples) - 1)])
        at, likeness = locate(place, heard[begin:end])
        if likeness >= LIKENESS:
            found.append((heard_at_us(begin + at, samples, times) - mouth_us) / 1000)
    return found


def scores(said: np.ndarray, heard: np.ndarray, offset: int) -> list[float]:
    """PESQ of each piece; `offset` is where the reference begins in the recording."""
    found = []
    piece = int(PIECE_SECONDS * RATE)
    margin = RATE // 4
    for start in range(0, len(said) - piece // 2, piece):
        reference = said[start : start + piece]
        begin = max(0, offset + start - margin)
        degraded = heard[begin : offset + start + len(reference) + margin]
        if len(degraded) < len(reference) // 2:
            found.append(1.0)
            continue
        found.append(float(pesq(RATE, reference / 32768, degraded / 32768, "wb")))
    return found


def analyse(said: np.ndarray, said_at_us: float, heard: np.ndarray, samples: np.ndarray, times: np.ndarray) -> dict:
    delays = delays_ms(said, said_at_us, heard, samples, times)
    if not delays:
        return {"places": 0, "delay_ms_p50": None, "delay_ms_p95": None, "pesq": None}
    middle = float(np.median(delays))
    arrival_us = said_at_us + middle * 1000
    frame = min(int(np.searchsorted(times, arrival_us)), len(times) - 1)
    offset = int(samples[frame] + (arrival_us - times[frame]) * RATE / 1e6)
    pieces = scores(said, heard, offset)
    return {
        "places": len(delays),
        "delay_ms_p50": round(middle, 1),
        "delay_ms_p95": round(float(np.percentile(delays, 95)), 1),
        "pesq": round(float(np.mean(pieces)), 3),
    }


def self_test() -> None:
    """Known damage: the delay is found to a millisecond, and worse damage scores worse."""
    from speech import speech

    said = speech(RATE).astype(np.float64)
    rng = np.random.default_rng(1)
    began = 1_000_000_000.0

    def heard(delay_ms: int, lost: float) -> dict:
        pcm = np.concatenate([np.zeros(RATE + delay_ms * RATE // 1000), said, np.zeros(2 * RATE)])
        frame = RATE // 50
        for start in range(0, len(pcm) - frame, frame):
            if rng.random() < lost:
                pcm[start : start + frame] = 0
        step = RATE // 100
        samples = np.arange(0, len(pcm), step, dtype=np.float64)
        # The recording begins a second before speech does.
        times = began - 1e6 + samples / RATE * 1e6
        return analyse(said, began, pcm, samples, times)

    perfect, late, lossy, awful = heard(0, 0), heard(137, 0), heard(60, 0.03), heard(60, 0.2)
    assert abs(perfect["delay_ms_p50"]) < 1 and perfect["pesq"] > 4.5, perfect
    assert abs(late["delay_ms_p50"] - 137) < 1 and late["pesq"] > 4.5, late
    assert abs(lossy["delay_ms_p50"] - 60) < 1, lossy
    assert 4.5 > lossy["pesq"] > awful["pesq"], (lossy, awful)
    nothing = analyse(said, began, np.zeros(RATE), np.arange(0, RATE, 160.0), began + np.arange(0, 1e6, 1e4))
    assert nothing["places"] == 0, nothing
    print(json.dumps({"perfect": perfect, "late": late, "lossy": lossy, "awful": awful}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("--said", type=pathlib.Path)
    parser.add_argument("--said-at-us", type=float)
    parser.add_argument("--heard", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.self_test:
        self_test()
    else:
        result = analyse(
            read(arguments.said),
            arguments.said_at_us,
            read(arguments.heard),
            *read_times(arguments.heard),
        )
        print(json.dumps(result))
