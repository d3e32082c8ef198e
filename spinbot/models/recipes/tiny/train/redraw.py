"""Pictures as the embedded model would hand them over, with their points: through its autoencoder with some noise on the latents, and those
whose figure stands where the model would put it half noised and denoised again by its UNet.
usage: redraw.py FACES MODEL [--shards 1] [--most 512]       MODEL: the exported pipeline; writes FACES/redrawn/

Lines come back softer, small things half melted: what the model draws itself looks like that, and its drawings are what a program must read.
A finished shard is skipped."""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline

from portraits import load_pictures, to_tensor

SEED, BATCH, HELDOUT = 17, 16, 128
NOISE = 0.35  # the most on a latent whose deviation is 1
STEPS, LEAST, MOST = 16, 3, 5  # of a drawing's steps those that are done again: figure and place stay
PROMPTS = ["", "a portrait of a person", "a portrait of a robot", "a portrait of an animal", "cartoon portrait of a smiling person"]


@torch.no_grad()
def denoised(pipe: StableDiffusionPipeline, z: torch.Tensor, prompt: str, steps: int, g: torch.Generator) -> torch.Tensor:
    pipe.scheduler.set_timesteps(STEPS)
    times = pipe.scheduler.timesteps[-steps:]
    states, _ = pipe.encode_prompt(prompt, "cpu", len(z), False)
    z = pipe.scheduler.add_noise(z, torch.randn(z.shape, generator=g), times[:1].expand(len(z)))
    for t in times:
        z = pipe.scheduler.step(pipe.unet(z, t, encoder_hidden_states=states).sample, t, z).prev_sample
    return z


def in_place(told: dict) -> bool:
    """Whether the face is where the model's own drawings have it, and as large: elsewhere it would draw another."""
    if told["kind"] != "figure":
        return False
    (ax, ay), (bx, by), *_ = told["face"]
    return abs((ax + bx) / 2 - 64) < 10 and abs((ay + by) / 2 - 52) < 10 and 16 < bx - ax < 32


@torch.no_grad()
def redrawn(pipe: StableDiffusionPipeline, x: torch.Tensor, again: torch.Tensor, g: torch.Generator) -> np.ndarray:
    """N x H x W x 3; `again` says which are denoised."""
    pick = lambda low, high: int(torch.randint(low, high, (1,), generator=g))
    z = pipe.vae.encode(x).latent_dist.mean
    noisy = z + torch.randn(z.shape, generator=g) * (torch.rand(len(x), 1, 1, 1, generator=g) * NOISE)
    if again.any():
        noisy[again] = denoised(pipe, z[again], PROMPTS[pick(0, len(PROMPTS))], pick(LEAST, MOST + 1), g)
    y = pipe.vae.decode(noisy).sample.clamp(-1, 1)
    return ((y + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("faces", type=Path)
    p.add_argument("model", type=Path)
    p.add_argument("--shards", type=int, default=1)
    p.add_argument("--most", type=int, default=512)
    p.add_argument("--threads", type=int, default=1)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    pipe = StableDiffusionPipeline.from_pretrained(o.model, safety_checker=None, torch_dtype=torch.float32).to(torch.float32)
    for part in (pipe.vae, pipe.unet):
        part.to(memory_format=torch.channels_last)
    out = o.faces / "redrawn"
    out.mkdir(exist_ok=True)
    for name in ["heldout", *(f"shard_{k:04}" for k in range(o.shards))]:
        pictures, target = load_pictures(o.faces / f"{name}.rgb"), out / f"{name}.rgb"
        pictures = pictures[: HELDOUT if name == "heldout" else o.most]
        if target.exists() and target.stat().st_size == pictures.size:
            continue
        part, lines = target.with_suffix(".part"), (o.faces / f"{name}.jsonl").read_text().splitlines()[: len(pictures)]
        again = torch.tensor([in_place(json.loads(line)) for line in lines])
        g = torch.Generator().manual_seed(SEED + sum(name.encode()))
        with open(part, "wb") as f:
            for first in range(0, len(pictures), BATCH):
                f.write(redrawn(pipe, to_tensor(pictures[first : first + BATCH]), again[first : first + BATCH], g).tobytes())
        target.with_suffix(".jsonl").write_text("\n".join(lines) + "\n")
        os.replace(part, target)
        print(f"{name}: {len(pictures)} pictures", flush=True)


if __name__ == "__main__":
    main()
