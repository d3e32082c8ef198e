"""Recordings for the voice tests, good and bad: spoken by the kernel under test where speech must be, made where it
can be, else from ../fixtures and the tutorial."""

from __future__ import annotations

import json
import pathlib
import shutil
import struct
import wave

import numpy

from conftest import ROOT
from conversation import Conversation
from material import FIXTURES, write_wav

READER = ROOT / "notebooks" / "media" / "voices" / "1688" / "1688-142285-0001.flac"
"""Twelve seconds of one reader."""
SAID = (
    "These days a chicken leg is a rare dish. The source of the huge river is the clear spring. "
    "Help the woman get back to her feet."
)
GERMAN = {
    "Wer": "vˈɛɐ", "reitet": "ɹˈItət", "so": "zo", "spät": "ʃpˈɛt", "durch": "dˈʊɐç", "Nacht": "nˈɑxt",
    "und": "ˈʊnt", "Wind": "vˈɪnt", "es": "ˈɛs", "ist": "ˈɪst", "der": "dˈɛɐ", "Vater": "fˈɑtɐ",
    "mit": "mˈɪt", "seinem": "zˈInəm", "Kind": "kˈɪnt", "er": "ˈɛɐ", "hat": "hˈɑt", "den": "dˈen",
    "Knaben": "knˈɑbən", "wohl": "vˈol", "in": "ˈɪn", "dem": "dˈem", "Arm": "ˈɑɐm", "fasst": "fˈɑst",
    "ihn": "ˈin", "sicher": "zˈɪçɐ", "hält": "hˈɛlt", "warm": "vˈɑɐm",
}  # fmt: skip
"""How the words of Goethe's Erlking sound in German, in Kokoro's alphabet."""
ERLKING = (
    "Wer reitet so spät durch Nacht und Wind? Es ist der Vater mit seinem Kind. "
    "Er hat den Knaben wohl in dem Arm, er fasst ihn sicher, er hält ihn warm."
)


def lay_out(kernel: Conversation) -> None:
    """Fills the kernel's folder with everything the tests name."""
    folder = kernel.cwd
    shutil.copy(READER, folder / "reader.flac")
    shutil.copy(FIXTURES / "portraits" / "astronaut.png", folder / "face.png")
    (folder / "cut.flac").write_bytes((folder / "reader.flac").read_bytes()[:60])
    (folder / "text.wav").write_text("This is no sound.\n" * 40)
    (folder / "notes.txt").write_text("This is no sound.\n" * 40)
    (folder / "empty-folder").mkdir()
    for voice, text, name in (
        ("af_heart", SAID, "good.wav"),
        ("am_onyx", SAID, "another.wav"),
        ("bf_emma", in_phonemes(ERLKING, GERMAN), "german.wav"),
    ):
        cell = kernel.run(f'%%speak --voice {voice} --as said\n{text}')
        assert cell.ok, cell.shown
        assert kernel.run(f'said.save("{name}")?;').ok
    good, rate = read_wav(folder / "good.wav")
    another, _ = read_wav(folder / "another.wav")
    write_wav(folder / "two-people.wav", numpy.concatenate([good, numpy.zeros(rate // 4), another]), rate)
    write_wav(folder / "second.wav", good[rate // 2 : rate * 3 // 2], rate)
    write_wav(folder / "silence.wav", numpy.zeros(rate * 8), rate)
    write_wav(folder / "noise.wav", numpy.random.default_rng(5).normal(0, 0.05, rate * 8), rate)
    hours_of_nothing(folder / "two-hours.wav")


def in_phonemes(text: str, pronunciations: dict[str, str]) -> str:
    """The text with its words marked up to be said so."""
    known = {word.lower(): phonemes for word, phonemes in pronunciations.items()}
    said = []
    for word in text.split():
        bare = word.rstrip(".,?")
        said.append(f"[{bare}](/{known[bare.lower()]}/){word[len(bare):]}")
    return " ".join(said)


def read_wav(path: pathlib.Path) -> tuple[numpy.ndarray, int]:
    """Samples of a mono 16-bit file in -1..1, and their rate."""
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        samples = numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return samples / 32768, file.getframerate()


def hours_of_nothing(path: pathlib.Path) -> None:
    """Two hours of silence that take no room: 16-bit zeros at 8 kHz, not written but left out of the file."""
    bytes_of_sound = 2 * 3600 * 8000 * 2
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.setnframes(bytes_of_sound // 2)
        file.writeframesraw(b"")
    header = bytearray(path.read_bytes())
    if not header:
        raise AssertionError("no header was written")
    header[4:8] = (bytes_of_sound + 36).to_bytes(4, "little")
    header[40:44] = bytes_of_sound.to_bytes(4, "little")
    path.write_bytes(header)
    with open(path, "r+b") as file:
        file.truncate(len(header) + bytes_of_sound)


POCKET = ROOT / "tests" / "reference" / "pocket"
"""pocket-tts with small random weights."""
TRAITS = {
    "head": 16, "encoder_head": 8, "decoder_head": 8, "encoder_context": 20, "decoder_context": 20,
    "one_step": "drifting", "eos_threshold": 0.0, "dashes_as_commas": False,
}  # fmt: skip
"""What their shapes do not tell (`../reference/pocket.py`)."""


def release_of_pocket(folder: pathlib.Path, cloning: bool) -> pathlib.Path:
    """A release as it is published: weights, tokenizer, the voice alba; the path of the weights. Without `cloning` its
    encoder is zero, as in the open one."""
    data = bytearray((POCKET / "full.safetensors").read_bytes())
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    tensors = data[8 + length :]
    for name, entry in header.items():
        if name.startswith("mimi.encoder") and not cloning:
            start, end = entry["data_offsets"]
            tensors[start:end] = bytes(end - start)
    header["__metadata__"] = {"spinbot.pocket.traits": json.dumps(TRAITS)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "embeddings").mkdir(parents=True)
    weights = folder / "model.safetensors"
    weights.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    shutil.copy(POCKET / "tokenizer.json", folder)
    shutil.copy(POCKET / "full_cases.safetensors", folder / "embeddings" / "alba.safetensors")
    return weights
