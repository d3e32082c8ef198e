"""Trains the autoencoder.  usage: train_vae.py PORTRAITS RUN [--steps N] [--probe DIR]
Stop with SIGTERM; the same command goes on from the checkpoint, bit for bit on the same machine. RUN gets log.jsonl, recon_*.png
(top: held-out pictures, bottom: their reconstruction) and at the end vae/ (diffusers layout, float32)."""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from autoencoder import build, normalize_latents, reconstruct, reconstruction_loss, save_grid, score
from optimizer import Trainer
from portraits import Portraits, load_pictures, to_tensor
from run import STOPPED, Run

SEED, KL_WEIGHT = 1, 1e-4
EVALUATE_EVERY, LOG_EVERY, HELDOUT = 1000, 50, 96
FULL_FROM = 0.6  # the share of the steps after which whole pictures replace crops: the normalisations see whole pictures in use


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser()
    p.add_argument("portraits", type=Path)
    p.add_argument("run", type=Path)
    p.add_argument("--steps", type=int, default=12000)
    p.add_argument("--channels", type=int, nargs="+", default=[32, 48, 96, 128])
    p.add_argument("--groups", type=int, default=1)
    p.add_argument("--batch", type=int, default=12, help="crops of 64 pixels; whole pictures come in a quarter of that")
    p.add_argument("--lr", type=float, default=1.5e-3)
    p.add_argument("--probe", type=Path, help="a folder of other pictures, scored but never trained on")
    p.add_argument("--start", type=Path, help="checkpoint.pt of an earlier run whose averaged weights are the start (a longer run, a changed plan)")
    p.add_argument("--threads", type=int, default=1)
    return p.parse_args()


def probe_pictures(folder: Path | None) -> torch.Tensor | None:
    if folder is None:
        return None
    images = [Image.open(p).convert("RGB").resize((128, 128), Image.LANCZOS) for p in sorted(folder.rglob("*.png"))]
    return to_tensor(np.stack([np.asarray(i) for i in images]))


def main():
    o = arguments()
    torch.set_num_threads(o.threads)
    torch.manual_seed(SEED)
    data = Portraits(o.portraits)
    heldout = to_tensor(load_pictures(o.portraits / "heldout.rgb")[:HELDOUT])
    probe = probe_pictures(o.probe)
    vae = build(tuple(o.channels), o.groups)
    plan = {"channels": o.channels, "groups": o.groups, "batch": o.batch, "lr": o.lr, "steps": o.steps, "pictures": len(data)}
    trainer = Trainer(vae.named_parameters(), lr=o.lr, adam_lr=8e-4, total=o.steps, plain=("conv_in", "conv_out", "quant_conv"))
    run, step = Run(o.run, plan), 0
    if (state := run.restore()) is not None:
        step = state["step"]
        trainer.load(state["trainer"])
    elif o.start:
        trainer.start_from(torch.load(o.start, weights_only=True)["trainer"]["ema"])

    def evaluate():
        trainer.swap()
        y = reconstruct(vae, heldout)
        values = score(y, heldout)
        rows = [heldout[:16], y[:16], heldout[16:32], y[16:32]]
        if probe is not None:
            z = reconstruct(vae, probe)
            values |= {f"probe_{k}": v for k, v in score(z, probe).items()}
            rows += [probe[:16], z[:16]] if len(probe) >= 16 else []
        trainer.swap()
        save_grid(o.run / f"recon_{step:06d}.png", [row for row in rows if len(row)])
        run.log(step=step, **values)

    spent, first = 0.0, step
    while step < o.steps and not run.stopping:
        begun = time.process_time()
        whole = step >= FULL_FROM * o.steps
        x = data.crops(SEED, step, *((max(1, o.batch // 4), 128) if whole else (o.batch, 64))).contiguous(memory_format=torch.channels_last)
        torch.manual_seed(SEED * 1_000_003 + step)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(x).latent_dist
            y = vae.decode(posterior.sample()).sample
        reconstruction = reconstruction_loss(y.float(), x)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        (reconstruction + KL_WEIGHT * kl).backward()
        norm = trainer.step(step)
        step += 1
        spent += time.process_time() - begun
        if step % LOG_EVERY == 0:
            run.log(step=step, loss=round(reconstruction.item(), 5), kl=round(kl.item(), 3), norm=round(norm, 3), seconds=round(spent / (step - first), 4))
        if step % EVALUATE_EVERY == 0 or step in (250, 500, o.steps):
            evaluate()
        if run.due():
            run.save(step, {"trainer": trainer.state()})
    run.save(step, {"trainer": trainer.state()})
    if step == o.steps:
        trainer.swap()
        rng = np.random.default_rng(SEED)
        normalize_latents(vae, to_tensor(np.stack([data[int(i)] for i in rng.choice(len(data), 512, replace=False)])))
        vae.save_pretrained(o.run / "vae")
    run.close()
    if step < o.steps:
        raise SystemExit(STOPPED)


if __name__ == "__main__":
    main()
