"""The AutoencoderKL of the embedded model: its shape, its loss, how it is scored and how it is written.

f8, 8 latent channels: 128 x 128 x 3 becomes 16 x 16 x 8. Layout and names are those of diffusers."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image

LATENT_CHANNELS = 8


def build(channels: tuple[int, ...], groups: int) -> AutoencoderKL:
    """`groups`: channels are normalised together in so few groups because a group's mean and variance are lost at every
    normalisation; many small groups turned teal into lilac in the trial."""
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=LATENT_CHANNELS, block_out_channels=channels, layers_per_block=1, norm_num_groups=groups,
        down_block_types=("DownEncoderBlock2D",) * len(channels), up_block_types=("UpDecoderBlock2D",) * len(channels), sample_size=128,
    )
    with torch.no_grad():  # start with almost no posterior noise, or the decoder learns to ignore the latents first
        vae.quant_conv.weight[LATENT_CHANNELS:] *= 0.1
        vae.quant_conv.bias[LATENT_CHANNELS:] = -5.0
    return vae.to(memory_format=torch.channels_last)


def reconstruction_loss(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """L1 + squared error on three scales, with the error's gradient at the first: flat areas true, edges sharp."""
    error, total = y - x, 0.0
    for scale in range(3):
        total = total + (1.0 if scale == 0 else 0.5) * (error.abs().mean() + 2 * error.square().mean())
        if scale == 0:
            total = total + 0.5 * (error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean())
        error = F.avg_pool2d(error, 2)
    return total


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, x: torch.Tensor, batch: int = 16) -> torch.Tensor:
    """Through the posterior mean, float32, clamped to [-1, 1]."""
    return torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample.clamp(-1, 1) for part in x.split(batch)])


def score(y: torch.Tensor, x: torch.Tensor) -> dict:
    """`psnr`: dB, mean over pictures (peak-to-peak 2). `color`: mean absolute error of 16-pixel averages, in 8-bit levels."""
    mse = (y - x).square().mean((1, 2, 3)).clamp_min(1e-10)
    color = (F.avg_pool2d(y, 16) - F.avg_pool2d(x, 16)).abs().mean() * 127.5
    return {"psnr": round((10 * torch.log10(4 / mse)).mean().item(), 3), "color": round(color.item(), 3)}


def save_grid(path: Path, rows: list[torch.Tensor], scale: int = 1):
    """One row of pictures per tensor (N x 3 x H x W)."""
    grid = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    pixels = ((grid.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if scale > 1:
        image = image.resize((image.width * scale, image.height * scale), Image.NEAREST)
    part = path.with_suffix(".part.png")
    image.save(part)
    part.replace(path)


@torch.no_grad()
def normalize_latents(vae: AutoencoderKL, x: torch.Tensor, batch: int = 16):
    """Folds the mean and standard deviation of every latent channel over `x` into quant_conv and post_quant_conv, so that
    latents have mean 0 and deviation 1 per channel and `scaling_factor` is 1. Reconstructions stay as they were."""
    z = torch.cat([vae.encode(part).latent_dist.mean for part in x.split(batch)])
    mean, std = z.mean((0, 2, 3)), z.std((0, 2, 3))
    c = LATENT_CHANNELS
    q, p = vae.quant_conv, vae.post_quant_conv
    p.bias += (p.weight[:, :, 0, 0] * mean).sum(1)
    p.weight *= std.view(1, c, 1, 1)
    q.weight[:c] /= std.view(c, 1, 1, 1)
    q.bias[:c] = (q.bias[:c] - mean) / std
    q.bias[c:] -= 2 * std.log()
    vae.register_to_config(scaling_factor=1.0)


