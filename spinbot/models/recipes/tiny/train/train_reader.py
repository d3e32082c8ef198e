"""Trains the reader of portraits: what a picture shows, attribute by attribute, and 64 numbers that are near one another for one figure.
usage: train_reader.py TAKES RUN OUT [--steps N]       TAKES: drawn with --takes 4 (draw/generate.mjs)

Attributes by cross-entropy, figures by the supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362), both over one small
residual network. Batch normalisation is folded into the convolutions at the export, so the program sees convolutions alone."""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

from optimizer import Trainer
from portraits import Portraits, load_attributes, load_pictures, to_tensor
from questions import VALUES, answers, phrases
from run import STOPPED, Run

SEED, TAKES = 11, 4  # pictures of one figure
ALONE, FIGURES = 40, 6  # of a batch: pictures from anywhere, and figures of which all are in it
NUMBERS, TEMPERATURE, SMOOTHING = 64, 0.1, 0.02
CONTRAST, LOG_EVERY, LR, ADAM_LR, WEIGHT_DECAY = 0.05, 50, 4e-3, 2e-3, 0.01
# An attribute that is answered right less often than this on held-out pictures is not asked.
TRUSTED = 0.8
SPLITS = [len(v) for v in VALUES.values()]


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = Conv(width, width), Conv(width, width)

    def forward(self, x):
        return F.relu(x + self.second(F.relu(self.first(x))))


class Conv(nn.Module):
    """3x3 convolution and batch normalisation."""

    def __init__(self, inward: int, outward: int, stride: int = 1):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(inward, outward, 3, stride, 1, bias=False), nn.BatchNorm2d(outward)

    def forward(self, x):
        return self.norm(self.conv(x))

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        scale = self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()
        return self.conv.weight * scale[:, None, None, None], self.norm.bias - self.norm.running_mean * scale


class Reader(nn.Module):
    """N x 3 x 128 x 128 in [-1, 1] -> logits of all attributes, one after the other, and NUMBERS of length 1."""

    WIDTHS = (16, 32, 64, 128, 192)

    def __init__(self):
        super().__init__()
        widths = (3, *self.WIDTHS)
        self.down = nn.ModuleList(Conv(a, b, 2) for a, b in zip(widths, widths[1:]))
        self.blocks = nn.ModuleList(Block(w) if w >= 32 else nn.Identity() for w in self.WIDTHS)
        self.features = nn.Linear(self.WIDTHS[-1] * 16, 256)
        self.attributes, self.figure = nn.Linear(256, sum(SPLITS)), nn.Linear(256, NUMBERS)

    def forward(self, x):
        for down, block in zip(self.down, self.blocks):
            x = block(F.relu(down(x)))
        x = F.relu(self.features(x.flatten(1)))
        return self.attributes(x), F.normalize(self.figure(x).float(), dim=1)


def varied(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    """Moved, zoomed, mirrored, a little brighter or flatter, softer or noisier: as models draw, and as people crop."""
    n = len(x)
    u = lambda a, b: torch.rand(n, generator=g) * (b - a) + a
    zoom, flip = u(0.85, 1.12), (torch.rand(n, generator=g) < 0.5).float() * 2 - 1
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, 0, 2], theta[:, 1, 2] = zoom * flip, zoom, u(-0.1, 0.1), u(-0.1, 0.1)
    x = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), padding_mode="border", align_corners=False)
    small = F.interpolate(x, scale_factor=0.5, mode="area")
    soft = F.interpolate(small, size=x.shape[-1], mode="bilinear", align_corners=False)
    share = (u(-0.6, 1.0)).clamp_min(0).view(-1, 1, 1, 1)
    x = x + share * (soft - x)
    x = x * u(0.85, 1.1).view(-1, 1, 1, 1) + u(-0.08, 0.08).view(-1, 1, 1, 1) + torch.randn(n, 3, generator=g).view(n, 3, 1, 1) * 0.03
    return (x + torch.randn(x.shape, generator=g) * u(0, 0.06).view(-1, 1, 1, 1)).clamp(-1, 1)


def labels(attributes: list[dict]) -> torch.Tensor:
    """N x attributes, the index of the value, -100 where it is not known."""
    rows = [answers(a) for a in attributes]
    return torch.tensor([[values.index(row[name]) if name in row else -100 for name, values in VALUES.items()] for row in rows])


def contrast(z: torch.Tensor) -> torch.Tensor:
    """Supervised contrastive loss; rows come in groups of TAKES."""
    n, like = len(z), z @ z.T / TEMPERATURE
    own = torch.eye(n, dtype=torch.bool)
    same = torch.block_diag(*[torch.ones(TAKES, TAKES)] * (n // TAKES)).bool() & ~own
    log = like - like.masked_fill(own, -math.inf).logsumexp(1, keepdim=True)
    return -(log * same).sum(1).div(TAKES - 1).mean()


@torch.no_grad()
def judge(net: Reader, x: torch.Tensor, want: torch.Tensor) -> dict:
    """Accuracy by attribute, how often the nearest other picture shows the same figure, and likenesses of same and other figures."""
    net.eval()
    logits, z = (torch.cat(p) for p in zip(*[net(part) for part in x.split(64)]))
    net.train()
    right = {}
    for k, (name, part) in enumerate(zip(VALUES, logits.split(SPLITS, 1))):
        known = want[:, k] >= 0
        right[name] = round((part.argmax(1)[known] == want[known, k]).float().mean().item(), 3)
    like = z @ z.T
    like.fill_diagonal_(-1)
    group = torch.arange(len(z)) // TAKES
    same = (group[:, None] == group[None]) & ~torch.eye(len(z), dtype=torch.bool)
    other = group[:, None] != group[None]
    nearest = (group[like.argmax(1)] == group).float().mean().item()
    quantile = lambda mask, q: round(torch.quantile(like[mask][::7], q).item(), 3)
    return {"right": right, "nearest": round(nearest, 3), "same": [quantile(same, q) for q in (0.05, 0.5)], "other": [quantile(other, q) for q in (0.5, 0.95, 0.99)]}


def export(net: Reader, found: dict, out: Path):
    tensors = {}
    for i, (down, block) in enumerate(zip(net.down, net.blocks)):
        parts = [("down", down)] + ([("first", block.first), ("second", block.second)] if isinstance(block, Block) else [])
        for name, conv in parts:
            tensors[f"{i}.{name}.weight"], tensors[f"{i}.{name}.bias"] = conv.folded()
    for name in ("features", "attributes", "figure"):
        layer = getattr(net, name)
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = layer.weight, layer.bias
    asked = [q for q in phrases() if found["right"][q["attribute"]] >= TRUSTED]
    about = {"attributes": [{"name": n, "values": v, "right": found["right"][n]} for n, v in VALUES.items()], "questions": asked, "likeness": {"same": found["same"], "other": found["other"]}}
    half = {k: v.detach().half().contiguous() for k, v in tensors.items()}
    save_file(half, out, metadata={"spinbot.reader": json.dumps(about, separators=(",", ":"))})
    print(f"{out}: {out.stat().st_size} bytes, not asked: {[n for n, r in found['right'].items() if r < TRUSTED]}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("takes", type=Path)
    p.add_argument("run", type=Path)
    p.add_argument("out", type=Path)
    p.add_argument("--steps", type=int, default=6000)
    p.add_argument("--threads", type=int, default=1)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(SEED)
    data = Portraits(o.takes)
    want = labels(data.attributes())
    held, held_want = to_tensor(load_pictures(o.takes / "heldout.rgb")), labels(load_attributes(o.takes / "heldout.jsonl"))
    run, step = Run(o.run, {"steps": o.steps, "pictures": len(data)}), 0
    net = Reader().to(memory_format=torch.channels_last)
    trainer = Trainer(net.named_parameters(), lr=LR, adam_lr=ADAM_LR, total=o.steps, plain=("down.0",), weight_decay=WEIGHT_DECAY)
    if (state := run.restore()) is not None:
        step = state["step"]
        net.load_state_dict(state["net"])
        trainer.load(state["trainer"])
    while step < o.steps and not run.stopping:
        rng, g = np.random.default_rng([SEED, step]), torch.Generator().manual_seed(SEED * 1_000_003 + step)
        # Figures alone would make a batch of few: what they wear would be learned late, and what they do hardly at all.
        figures = (rng.choice(len(data) // TAKES, FIGURES, replace=False)[:, None] * TAKES + np.arange(TAKES)).ravel()
        picks = np.concatenate([rng.choice(len(data), ALONE, replace=False), figures])
        x = varied(to_tensor(np.stack([data[int(i)] for i in picks])), g).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits, z = net(x)
        parts = logits.float().split(SPLITS, 1)
        known = [F.cross_entropy(part, want[picks, k], ignore_index=-100, label_smoothing=SMOOTHING) for k, part in enumerate(parts) if (want[picks, k] >= 0).any()]
        read, apart = torch.stack(known).mean(), contrast(z[ALONE:])
        (read + CONTRAST * apart).backward()
        trainer.step(step)
        step += 1
        if step % LOG_EVERY == 0:
            run.log(step=step, read=round(read.item(), 4), apart=round(apart.item(), 4))
        if step % 1000 == 0 or step == o.steps:
            run.log(step=step, heldout=judge(net, held, held_want))
        if run.due() or step == o.steps:
            run.save(step, {"net": net.state_dict(), "trainer": trainer.state()})
    run.close()
    if run.stopping:
        raise SystemExit(STOPPED)
    net.eval()
    export(net, judge(net, held, held_want), o.out)


if __name__ == "__main__":
    main()
