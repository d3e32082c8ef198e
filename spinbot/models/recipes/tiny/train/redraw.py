"""Pictures as the embedded model would hand them over: through its autoencoder, with some noise on the latents.
usage: redraw.py FACES VAE_DIR [--shards 2] [--noise 0.35]       writes FACES/redrawn/

Lines come back softer, small things half melted: what the model draws itself looks like that, and its drawings are what a program must read.
A finished shard is skipped."""

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from portraits import load_pictures, to_tensor

SEED, BATCH, HELDOUT = 17, 16, 256


@torch.no_grad()
def redrawn(vae: AutoencoderKL, x: torch.Tensor, noise: float, g: torch.Generator) -> np.ndarray:
    """Each picture with its own share of the noise: N x H x W x 3."""
    z = vae.encode(x).latent_dist.mean
    z = z + torch.randn(z.shape, generator=g) * (torch.rand(len(x), 1, 1, 1, generator=g) * noise)
    y = vae.decode(z).sample.clamp(-1, 1)
    return ((y + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("faces", type=Path)
    p.add_argument("vae", type=Path)
    p.add_argument("--shards", type=int, default=2)
    p.add_argument("--noise", type=float, default=0.35)
    p.add_argument("--threads", type=int, default=1)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    vae = AutoencoderKL.from_pretrained(o.vae).float().eval().to(memory_format=torch.channels_last)
    out = o.faces / "redrawn"
    out.mkdir(exist_ok=True)
    for name in [*(f"shard_{k:04}" for k in range(o.shards)), "heldout"]:
        pictures, target = load_pictures(o.faces / f"{name}.rgb"), out / f"{name}.rgb"
        pictures = pictures[: HELDOUT if name == "heldout" else None]
        if target.exists() and target.stat().st_size == pictures.size:
            continue
        part = target.with_suffix(".part")
        g = torch.Generator().manual_seed(SEED + sum(name.encode()))
        with open(part, "wb") as f:
            for first in range(0, len(pictures), BATCH):
                f.write(redrawn(vae, to_tensor(pictures[first : first + BATCH]), o.noise, g).tobytes())
        lines = (o.faces / f"{name}.jsonl").read_text().splitlines(keepends=True)
        target.with_suffix(".jsonl").write_text("".join(lines[: len(pictures)]))
        os.replace(part, target)
        print(f"{name}: {len(pictures)} pictures", flush=True)


if __name__ == "__main__":
    main()
