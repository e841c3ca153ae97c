"""Speech for the benchmarks: sentences spoken by espeak-ng, a male and a female voice in turn.

Writes 16-bit little-endian samples, mono, of the rate that is asked for; a WAV file where the
name ends so. The same versions of
espeak-ng and scipy write the same bytes each time.
"""

import argparse
import io
import pathlib
import subprocess
import wave

import numpy as np
from scipy.signal import resample_poly

# English sentences of the kind that telephone quality is judged by (short, phonetically mixed).
SENTENCES = [
    ("en-us+m3", "Good morning, this is the harbour office, how may I help you today?"),
    ("en-us+f3", "I would like to change my booking from Thursday evening to Friday at noon."),
    ("en-us+m3", "Certainly. Could you spell your family name, and give me the last four digits?"),
    ("en-us+f3", "It is spelled with two letters zed, and the number ends in seven three nine five."),
    ("en-us+m3", "Thank you. There are six places left, three of them beside a window."),
    ("en-us+f3", "A quiet table near the stairs would be best, because my father walks slowly."),
]

# Between sentences, as in conversation.
PAUSE_SECONDS = 0.25

# Peak of the whole, some 6 dB below the top.
PEAK = 16_000


def say(voice: str, sentence: str) -> tuple[int, np.ndarray]:
    spoken = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", "160", "--stdout", sentence],
        check=True,
        capture_output=True,
    ).stdout
    # The header of a WAV that is written to a pipe does not know its length.
    with wave.open(io.BytesIO(spoken)) as file:
        rate = file.getframerate()
        assert file.getnchannels() == 1 and file.getsampwidth() == 2
    start = spoken.index(b"data") + 8
    return rate, np.frombuffer(spoken[start : start + (len(spoken) - start) // 2 * 2], dtype="<i2")


def speech(rate: int) -> np.ndarray:
    pieces = []
    for voice, sentence in SENTENCES:
        own, pcm = say(voice, sentence)
        divisor = np.gcd(own, rate)
        pieces.append(resample_poly(pcm.astype(np.float64), rate // divisor, own // divisor))
        pieces.append(np.zeros(int(rate * PAUSE_SECONDS)))
    whole = np.concatenate(pieces)
    return np.round(whole / np.abs(whole).max() * PEAK).astype("<i2")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    samples = speech(arguments.rate).tobytes()
    if arguments.out.suffix == ".wav":
        with wave.open(str(arguments.out), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(arguments.rate)
            file.writeframes(samples)
    else:
        arguments.out.write_bytes(samples)
