"""Pictures and clips for the render tests, good and bad, made where they can be and else from ../fixtures."""

from __future__ import annotations

import pathlib
import shutil
import struct
import wave
import zlib

import numpy
from PIL import Image

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"


def lay_out(folder: pathlib.Path) -> None:
    """Fills `folder` with everything the tests name; all from fixed seeds."""
    shutil.copy(FIXTURES / "portraits" / "astronaut.png", folder / "face.png")
    shutil.copy(FIXTURES / "hello.flac", folder / "hello.flac")
    shutil.copy(FIXTURES / "hello.mp3", folder / "hello.mp3")
    face = Image.open(folder / "face.png").convert("RGB")
    pair = Image.new("RGB", (2 * face.width, face.height))
    pair.paste(face, (0, 0))
    pair.paste(face, (face.width, 0))
    pair.save(folder / "two-faces.png")
    noise = numpy.random.default_rng(7).integers(0, 256, (400, 400, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(folder / "no-face.png")
    Image.new("RGB", (1, 1), "red").save(folder / "one-pixel.png")
    (folder / "huge.png").write_bytes(black_png(30_000, 30_000))
    (folder / "text.png").write_text("This is no picture.\n" * 40)
    (folder / "empty.png").write_bytes(b"")
    whole = (folder / "face.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 3])
    face.save(folder / "face.jpg", quality=90)
    jpeg = (folder / "face.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(jpeg[:300])
    (folder / "text.wav").write_text("This is no sound.\n" * 40)
    (folder / "cut.mp3").write_bytes((folder / "hello.mp3").read_bytes()[:150])
    rate = 48_000
    tone = 0.3 * numpy.sin(2 * numpy.pi * 220 * numpy.arange(rate * 2) / rate)
    write_wav(folder / "silent.wav", numpy.zeros(rate * 2), rate)
    write_wav(folder / "short.wav", tone[: rate // 20], rate)
    write_wav(folder / "no-samples.wav", tone[:0], rate)
    write_wav(folder / "a-minute.wav", numpy.tile(speechlike(rate), 12), rate)
    (folder / "a-folder").mkdir()


def speechlike(rate: int) -> numpy.ndarray:
    """Five seconds of syllables: noise and tone that swell and fall four times a second."""
    time = numpy.arange(rate * 5) / rate
    swell = numpy.clip(numpy.sin(2 * numpy.pi * 4 * time), 0, 1)
    noise = numpy.random.default_rng(3).normal(0, 0.05, time.size)
    return swell * (0.3 * numpy.sin(2 * numpy.pi * 140 * time) + 0.1 * numpy.sin(2 * numpy.pi * 700 * time) + noise)


def write_wav(path: pathlib.Path, samples: numpy.ndarray, rate: int) -> None:
    """Mono, 16 bit."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((numpy.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def black_png(width: int, height: int) -> bytes:
    """A valid black PNG, one bit a pixel: a few hundred kilobytes that would open into gigabytes of RGBA."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
