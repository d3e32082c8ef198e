"""Wav2Lip's generator with small random weights: the numbers the Rust port is held against.

    python wav2lip.py wav2lip/
    python wav2lip.py --as-wide-as-the-authors FILE.safetensors     # weights alone, to measure speed with

Needs torch, numpy and safetensors. The layers are those of the paper's network (Prajwal et al. 2020, repository
Rudrabha/Wav2Lip, `models/wav2lip.py` and `models/conv.py`, whose tensor names they keep), written down anew as a table
and with narrower channels, no two neighbours alike; the mel front end is that repository's `audio.py` with its
`hparams.py`, in numpy. The authors' weights are not used: they may not be passed on.

`weights.safetensors` is a checkpoint; `cases.safetensors` holds sound and its mels, and what the network draws into the
face whose byte `i` is `(7919 * i + 13) % 251`.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

torch.set_num_threads(1)
FACE = [4, 6, 8, 10, 12, 14, 13]
AUDIO = [5, 7, 9, 11, 15]
DECODER = [11, 10, 9, 12, 8, 7, 6]
RATE, FFT, HOP, BANDS, WINDOW = 16000, 800, 200, 80, 16


class Conv(nn.Module):
    """A convolution, transposed where `grows` says by how much, normalised; what comes in added; ReLU."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding=0, residual=False, grows=None):
        super().__init__()
        if grows is None:
            conv = nn.Conv2d(inputs, outputs, kernel, stride, padding)
        else:
            conv = nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, grows)
        self.conv_block = nn.Sequential(conv, nn.BatchNorm2d(outputs))
        self.residual = residual

    def forward(self, x):
        y = self.conv_block(x)
        return torch.relu(y + x if self.residual else y)


def residuals(width, count):
    return [Conv(width, width, 3, 1, 1, residual=True) for _ in range(count)]


class Generator(nn.Module):
    def __init__(self, last=5):
        super().__init__()
        blocks = [nn.Sequential(Conv(6, FACE[0], 7, 1, 3))]
        for n, count in enumerate([2, 3, 2, 2, 1]):
            halving = Conv(FACE[n], FACE[n + 1], 3, 2, 1)
            blocks.append(nn.Sequential(halving, *residuals(FACE[n + 1], count)))
        blocks.append(nn.Sequential(Conv(FACE[5], FACE[6], 3), Conv(FACE[6], FACE[6], 1)))
        self.face_encoder_blocks = nn.ModuleList(blocks)
        layers, width = [], 1
        for outputs, stride, count in zip(AUDIO, [1, (3, 1), 3, (3, 2)], [2, 2, 2, 1]):
            layers += [Conv(width, outputs, 3, stride, 1), *residuals(outputs, count)]
            width = outputs
        layers += [Conv(width, AUDIO[4], 3), Conv(AUDIO[4], AUDIO[4], 1)]
        self.audio_encoder = nn.Sequential(*layers)
        blocks = [nn.Sequential(Conv(AUDIO[4], DECODER[0], 1))]
        for n, count in enumerate([1, 2, 2, 2, 2, 2]):
            inputs, outputs = DECODER[n] + FACE[6 - n], DECODER[n + 1]
            growing = Conv(inputs, outputs, 3, 1, 0, grows=0) if n == 0 else Conv(inputs, outputs, 3, 2, 1, grows=1)
            blocks.append(nn.Sequential(growing, *residuals(outputs, count)))
        self.face_decoder_blocks = nn.ModuleList(blocks)
        colours = Conv(DECODER[6] + FACE[0], last, 3, 1, 1)
        self.output_block = nn.Sequential(colours, nn.Conv2d(last, 3, 1), nn.Sigmoid())

    def forward(self, mels, faces):
        seen = []
        for block in self.face_encoder_blocks:
            faces = block(faces)
            seen.append(faces)
        x = self.audio_encoder(mels)
        for block in self.face_decoder_blocks:
            x = torch.cat([block(x), seen.pop()], dim=1)
        return self.output_block(x)


def randomise(network, generator):
    """Every tensor away from its initial value, at a scale that keeps signals near one."""
    growing = {f"face_decoder_blocks.{n + 1}.0.conv_block.0.weight": DECODER[n] for n in range(6)}
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.startswith("output_block.1"):
            # The colours stay where the sigmoid is steep.
            value = 0.4 * noise
        elif tensor.dim() == 4 and name in growing:
            # What is heard counts for more than what is seen: else the lips would hardly move.
            value = noise * (4 / 9 / tensor.shape[0]) ** 0.5
            value[: growing[name]] *= 2.0
            value[growing[name] :] *= 0.4
        elif tensor.dim() == 4:
            value = 1.2 * noise / tensor[0].numel() ** 0.5
        elif name.endswith("running_var"):
            value = 0.7 + 0.3 * noise.abs()
        elif name.endswith("conv_block.1.weight"):
            value = 0.8 + 0.2 * noise
        else:
            value = 0.3 * noise
        tensor.copy_(value)


def mel_bank():
    """librosa's `filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)`."""
    step = np.log(6.4) / 27

    def to_mel(hertz):
        return hertz * 3 / 200 if hertz < 1000 else 15 + np.log(hertz / 1000) / step

    def to_hertz(mel):
        return mel * 200 / 3 if mel < 15 else 1000 * np.exp(step * (mel - 15))

    edges = np.array([to_hertz(mel) for mel in np.linspace(to_mel(55.0), to_mel(7600.0), BANDS + 2)])
    bins = np.arange(FFT // 2 + 1) * RATE / FFT
    rising = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def mel(samples):
    """`[frames, bands]`, -4..=4."""
    emphasised = samples - 0.97 * np.concatenate([[0.0], samples[:-1]])
    padded = np.pad(emphasised, FFT // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)
    frames = np.stack([padded[at : at + FFT] * window for at in range(0, len(samples) + 1, HOP)])
    magnitudes = np.abs(np.fft.rfft(frames, axis=1)) @ mel_bank().T
    decibels = 20 * np.log10(np.maximum(1e-5, magnitudes)) - 20
    return np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)


def sound():
    """A glide under noise that comes and goes, with a silence at the end; 0.5 s."""
    t = np.arange(RATE // 2) / RATE
    noise = np.random.default_rng(7).standard_normal(len(t))
    glide = np.sin(2 * np.pi * (150 * t + 900 * t**2)) + 0.5 * np.sin(2 * np.pi * 2300 * t)
    samples = 0.2 * glide + 0.05 * noise * np.maximum(0, np.sin(2 * np.pi * 8 * t))
    return np.where(t < 0.4, samples, 0.0).astype(np.float32)


def face():
    """`[1, 6, 96, 96]`: without its lower half, then whole; blue, green, red."""
    rgb = ((7919 * np.arange(96 * 96 * 3) + 13) % 251).reshape(96, 96, 3) / 255
    whole = np.transpose(rgb[..., ::-1], (2, 0, 1))
    masked = whole.copy()
    masked[:, 48:] = 0
    return torch.tensor(np.concatenate([masked, whole])[None], dtype=torch.float32)


def checkpoint(network, path):
    # num_batches_tracked counts steps of training.
    state = {name: t.contiguous() for name, t in network.state_dict().items() if t.is_floating_point()}
    save_file(state, path)


def main():
    if sys.argv[1] == "--as-wide-as-the-authors":
        FACE[:] = [16, 32, 64, 128, 256, 512, 512]
        AUDIO[:] = [32, 64, 128, 256, 512]
        DECODER[:] = [512, 512, 512, 384, 256, 128, 64]
        network = Generator(last=32)
        with torch.no_grad():
            randomise(network, torch.Generator().manual_seed(20))
        print(sum(t.numel() for t in network.parameters()), "parameters")
        checkpoint(network, sys.argv[2])
        return
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    network = Generator().eval()
    with torch.no_grad():
        randomise(network, torch.Generator().manual_seed(20))
        samples = sound()
        heard = mel(samples.astype(np.float64))
        # Mel frames at which two windows begin.
        starts = [3, 22]
        windows = np.stack([heard[start : start + WINDOW].T for start in starts])[:, None]
        drawn = network(torch.tensor(windows, dtype=torch.float32), face().expand(2, -1, -1, -1))
    print("drawn", drawn.mean().item(), drawn.std().item(), (drawn[0] - drawn[1]).abs().max().item())
    checkpoint(network, folder / "weights.safetensors")
    # Of the second picture every fourth row tells enough.
    cases = {
        "samples": torch.tensor(samples),
        "mel": torch.tensor(heard, dtype=torch.float32),
        "drawn1": drawn[0],
        "drawn2": drawn[1, :, ::4],
    }
    save_file({name: t.contiguous() for name, t in cases.items()}, folder / "cases.safetensors")


if __name__ == "__main__":
    main()
