"""Reference numbers of the speaker encoder: Resemblyzer's network (PyPI Resemblyzer 0.1.4) in PyTorch.

    python tests/reference/ge2e.py pretrained.pt

writes ge2e.json beside this file: the voices of recordings in tests/fixtures as `embed_utterance` gives them, and,
for the differentiable way, the voice of a 24 kHz crop and PyTorch's gradient to its samples. The mel powers are
librosa's; the resampling filter is SciPy's Kaiser design of the same order.
"""
import json, sys
from pathlib import Path

import librosa
import numpy as np
import scipy.signal
import soundfile as sf
import torch

HERE = Path(__file__).parent
CLIPS = ["hello.flac", "voices/1688-142285-0002.flac", "voices/1688-142285-0003.flac"]
torch.set_num_threads(1)


class Encoder(torch.nn.Module):
    def __init__(self, checkpoint):
        super().__init__()
        self.lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = torch.nn.Linear(256, 256)
        state = torch.load(checkpoint, map_location="cpu", weights_only=False)["model_state"]
        self.load_state_dict(state, strict=False)

    def forward(self, mels):
        _, (hidden, _) = self.lstm(mels)
        raw = torch.relu(self.linear(hidden[-1]))
        return raw / raw.norm(dim=1, keepdim=True)


def partial_starts(samples, step=77, partial=160, hop=160, coverage=0.75):
    frames = int(np.ceil((samples + 1) / hop))
    starts = list(range(0, max(1, frames - partial + step + 1), step))
    if len(starts) > 1 and (samples - starts[-1] * hop) / (partial * hop) < coverage:
        starts.pop()
    return starts


def embed(encoder, wav):
    starts = partial_starts(len(wav))
    end = (starts[-1] + 160) * 160
    if end >= len(wav):
        wav = np.pad(wav, (0, end - len(wav)))
    mel = librosa.feature.melspectrogram(y=wav, sr=16000, n_fft=400, hop_length=160, n_mels=40).astype(np.float32).T
    with torch.no_grad():
        parts = encoder(torch.from_numpy(np.array([mel[s : s + 160] for s in starts]))).numpy()
    mean = parts.mean(0)
    return mean / np.linalg.norm(mean), parts


def differentiable(encoder, wav24):
    """24 kHz samples -> voice, in float64 but for the network."""
    half = 72
    taps = scipy.signal.firwin(2 * half + 1, 0.94 / 3, window=("kaiser", 8.0), scale=False) * 2
    up = torch.zeros(len(wav24) * 2, dtype=torch.float64).index_copy(0, torch.arange(len(wav24)) * 2, wav24.double())
    filtered = torch.nn.functional.conv1d(up[None, None], torch.from_numpy(taps)[None, None], padding=half)[0, 0]
    wav = filtered[::3][: len(wav24) * 2 // 3]
    gain = 10 ** (-30 / 20) / torch.sqrt((wav**2).mean() + 1e-12)
    wav = wav * gain
    spectrum = torch.stft(
        torch.nn.functional.pad(wav, (200, 200)), 400, 160, 400, torch.hann_window(400, dtype=torch.float64),
        center=False, return_complex=True,
    )
    bank = torch.from_numpy(librosa.filters.mel(sr=16000, n_fft=400, n_mels=40)).double()
    mel = ((spectrum.real**2 + spectrum.imag**2).T @ bank.T).float()
    frames = mel.shape[0]
    if frames < 160:
        parts = torch.nn.functional.pad(mel, (0, 0, 0, 160 - frames))[None]
    else:
        starts = sorted({*range(0, frames - 159, 77), frames - 160})
        parts = torch.stack([mel[s : s + 160] for s in starts])
    mean = encoder(parts).mean(0)
    return mean / mean.norm(), float(gain)


def main():
    encoder = Encoder(sys.argv[1])
    out = {"embeddings": {}, "differentiable": []}
    for clip in CLIPS:
        wav, rate = sf.read(HERE.parent / "fixtures" / clip, dtype="float32")
        assert rate == 16000, (clip, rate)
        print_, parts = embed(encoder, wav)
        out["embeddings"][clip] = {"partials": len(parts), "voice": [round(float(x), 9) for x in print_]}
    # Crops of a clip, taken as if it were 24 kHz (any sound will do): 1.7 s at two volumes, a shorter and a longer one.
    wav, _ = sf.read(HERE.parent / "fixtures" / CLIPS[2], dtype="float32")
    target = torch.tensor(out["embeddings"][CLIPS[0]]["voice"])
    for samples, volume in [(40800, 1.0), (40801, 0.02), (30002, 1.0), (75000, 1.0)]:
        crop = torch.from_numpy(wav[4000 : 4000 + samples] * volume).requires_grad_()
        voice, gain = differentiable(encoder, crop)
        loss = 1 - voice @ target
        (grad,) = torch.autograd.grad(loss, crop)
        out["differentiable"].append({
            "samples": len(crop), "volume": volume, "gain": gain, "loss": loss.item(),
            "voice": [round(float(x), 9) for x in voice],
            "grad_norm": float(grad.norm()),
            # Every 97th sample's gradient.
            "grad": [float(f"{x:.7g}") for x in grad[::97]],
        })
    (HERE / "ge2e.json").write_text(json.dumps(out, indent=None) + "\n")


main()
