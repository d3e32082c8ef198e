"""Trains the finder of drawn faces: whether a face is in a picture, and where its eyes' centres and its mouth's corners are.
usage: train_points.py FACES RUN OUT [--steps N]       FACES: drawn by draw/faces.mjs, FACES/redrawn by redraw.py

One small residual network down to 4 x 4 and up again to 32 x 32, where each point has a map of how likely it is where; the point is the
map's mean (soft-argmax). Batch normalisation is folded into the convolutions at the export, as of the reader."""

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
from portraits import SIZE, Portraits, load_attributes, load_pictures, to_tensor
from run import STOPPED, Run
from train_reader import Block, Conv

SEED, BATCH, REDRAWN = 23, 48, 0.3  # of a batch: pictures, and the share of them that went through the autoencoder
MAP, SPREAD = 32, 1.0  # cells of a map's side, and the spread of the wanted blot in cells
LR, ADAM_LR, WEIGHT_DECAY, LOG_EVERY = 4e-3, 2e-3, 0.01, 50
POINTS = 4
EDGE = 2.0  # pixels from the picture's edge within which no point is asked for


class Finder(nn.Module):
    """N x 3 x 128 x 128 in [-1, 1] -> logit that a face is there, N; maps of the four points as logits, N x 4 x 32 x 32."""

    WIDTHS = (16, 32, 64, 96, 112)
    SIDES = (32, 48, 64)  # of the way up, at 32 x 32, 16 x 16, 8 x 8

    def __init__(self):
        super().__init__()
        widths = (3, *self.WIDTHS)
        self.down = nn.ModuleList(Conv(a, b, 2) for a, b in zip(widths, widths[1:]))
        self.blocks = nn.ModuleList(Block(w) if w >= 32 else nn.Identity() for w in self.WIDTHS)
        # From below, and across from the way down.
        below = (self.SIDES[1], self.SIDES[2], self.WIDTHS[4])
        self.below = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in zip(below, self.SIDES))
        self.across = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(self.WIDTHS[1:4], self.SIDES))
        self.up = nn.ModuleList(Conv(w, w) for w in self.SIDES)
        self.maps = nn.Conv2d(self.SIDES[0], POINTS, 3, padding=1)
        self.seen, self.face = nn.Linear(2 * self.WIDTHS[4], 32), nn.Linear(32, 1)

    def forward(self, x):
        steps = []
        for down, block in zip(self.down, self.blocks):
            x = block(F.relu(down(x)))
            steps.append(x)
        whole = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        for n in (2, 1, 0):
            x = F.interpolate(self.below[n](x), scale_factor=2.0, mode="nearest") + self.across[n](steps[n + 1])
            x = F.relu(self.up[n](F.relu(x)))
        return self.face(F.relu(self.seen(whole)))[:, 0], self.maps(x)


def points_of(maps: torch.Tensor) -> torch.Tensor:
    """The means of the maps, N x 4 x 2, in pixels."""
    share = maps.float().flatten(2).softmax(2).view(maps.shape)
    cell = (torch.arange(MAP, dtype=torch.float32) + 0.5) * (SIZE / MAP)
    return torch.stack([(share.sum(2) * cell).sum(2), (share.sum(3) * cell).sum(2)], 2)


def told(lines: list[dict]) -> tuple[torch.Tensor, torch.Tensor]:
    """Points, N x 4 x 2, NaN where they are not known; whether a face is there, N."""
    unknown = [[math.nan] * 2] * POINTS
    return torch.tensor([line.get("face") or unknown for line in lines]), torch.tensor([0.0 if line.get("face", True) is None else 1.0 for line in lines])


def moved(x: torch.Tensor, points: torch.Tensor, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Zoomed, turned, shifted and mirrored, the points with the pictures."""
    n = len(x)
    u = lambda a, b: torch.rand(n, generator=g) * (b - a) + a
    zoom, turn, flip = u(0.8, 1.2), u(-0.16, 0.16), (torch.rand(n, generator=g) < 0.5).float() * 2 - 1
    cos, sin = torch.cos(turn) * zoom, torch.sin(turn) * zoom
    theta = torch.stack([torch.stack([cos * flip, -sin, u(-0.15, 0.15)], 1), torch.stack([sin * flip, cos, u(-0.15, 0.15)], 1)], 1)
    x = F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), padding_mode="border", align_corners=False)
    # The grid says where an output pixel comes from; points go the other way.
    local = points / (SIZE / 2) - 1 - theta[:, None, :, 2]
    points = (torch.einsum("nij,nkj->nki", torch.linalg.inv(theta[:, :, :2]), local) + 1) * (SIZE / 2)
    mirrored = points[:, [1, 0, 3, 2]]
    return x, torch.where((flip < 0)[:, None, None], mirrored, points)


def some(n: int, share: float, g: torch.Generator) -> torch.Tensor:
    return (torch.rand(n, generator=g) < share).nonzero()[:, 0]


def _cosines() -> torch.Tensor:
    k = torch.arange(8, dtype=torch.float32)
    basis = torch.cos((2 * k + 1)[None] * k[:, None] * math.pi / 16) * 0.5
    basis[0] *= 0.5**0.5
    return basis


DCT = _cosines()
# How coarsely JPEG keeps brightness at its middle quality, by frequency: near enough to its table.
COARSE = 10 + 6 * (torch.arange(8)[:, None] + torch.arange(8)[None]).float()


def jpeg(x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Blocks of 8 x 8 rounded in their frequencies, `by` times as coarsely as usual, each channel by itself."""
    n, c, h, w = x.shape
    blocks = (x * 127.5).view(n, c, h // 8, 8, w // 8, 8).permute(0, 1, 2, 4, 3, 5)
    step = COARSE * by.view(-1, 1, 1, 1, 1, 1)
    kept = (DCT @ blocks @ DCT.T / step).round() * step
    return (DCT.T @ kept @ DCT / 127.5).permute(0, 1, 2, 4, 3, 5).reshape(x.shape)


def varied(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    """Other colours, light, sharpness and compression: as others draw, scan and save."""
    n = len(x)
    u = lambda count, a, b: torch.rand(count, generator=g) * (b - a) + a
    wide = lambda v: v.view(-1, 1, 1, 1)
    grey = x.mean(1, keepdim=True)
    chosen = some(n, 0.45, g)  # hues turned about grey
    if len(chosen):
        turn = u(len(chosen), 0, 2 * math.pi)
        a, b = torch.cos(turn), torch.sin(turn) / 3**0.5
        near, one, two = (1 + 2 * a) / 3, (1 - a) / 3 - b, (1 - a) / 3 + b
        rows = torch.stack([torch.stack([near, one, two], 1), torch.stack([two, near, one], 1), torch.stack([one, two, near], 1)], 1)
        x[chosen] = torch.einsum("nij,njhw->nihw", rows, x[chosen])
    chosen = some(n, 0.5, g)  # paler or greyer
    x[chosen] = grey[chosen] + (x[chosen] - grey[chosen]) * wide(u(len(chosen), -0.4, 1.3).clamp_min(0))
    chosen = some(n, 0.05, g)
    x[chosen] = -x[chosen]
    chosen = some(n, 0.06, g)  # edges only, dark on light
    if len(chosen):
        y = x[chosen]
        edge = (y[..., 1:, :-1] - y[..., :-1, :-1]).abs().amax(1, keepdim=True) + (y[..., :-1, 1:] - y[..., :-1, :-1]).abs().amax(1, keepdim=True)
        x[chosen] = F.pad(1 - 2 * (edge * wide(u(len(chosen), 0.8, 2.0))).clamp(0, 1), (0, 1, 0, 1), value=1.0).expand(-1, 3, -1, -1)
    chosen = some(n, 0.4, g)  # light that falls from somewhere
    field = F.interpolate(torch.randn(len(chosen), 1, 3, 3, generator=g), size=SIZE, mode="bilinear", align_corners=True)
    x[chosen] = (x[chosen] + 1) * (1 + field * wide(u(len(chosen), 0, 0.3))) - 1
    x = x * wide(u(n, 0.45, 1.2)) + wide(u(n, -0.25, 0.25))
    chosen = some(n, 0.5, g)  # softer
    if len(chosen):
        small = F.interpolate(x[chosen], scale_factor=0.5, mode="area")
        smaller = F.interpolate(small, scale_factor=0.6, mode="area")
        few = (torch.arange(len(chosen)) % 4 == 0).view(-1, 1, 1, 1)
        size = lambda y: F.interpolate(y, size=SIZE, mode="bilinear", align_corners=False)
        x[chosen] = x[chosen] + wide(u(len(chosen), 0.2, 1.0)) * (torch.where(few, size(smaller), size(small)) - x[chosen])
    x = x + torch.randn(x.shape, generator=g) * wide(u(n, -0.08, 0.14).clamp_min(0))
    chosen = some(n, 0.25, g)
    x[chosen] = jpeg(x[chosen], u(len(chosen), 0.4, 2.5))
    chosen = some(n, 0.12, g)  # the black bars of a picture that is no square
    for k in chosen.tolist():
        bar = int(torch.randint(4, 30, (1,), generator=g))
        if k % 2:
            x[k, :, :bar], x[k, :, -bar:] = -1.0, -1.0
        else:
            x[k, :, :, :bar], x[k, :, :, -bar:] = -1.0, -1.0
    return x.clamp(-1, 1)


def clouds(n: int, g: torch.Generator) -> torch.Tensor:
    """Noise on several scales, whose strengths differ: textures of no particular thing."""
    x = torch.zeros(n, 3, SIZE, SIZE)
    for side in (2, 4, 8, 16, 32, 64, SIZE):
        layer = torch.randn(n, 3, side, side, generator=g) * torch.rand(n, 1, 1, 1, generator=g) * (4 / side) ** (torch.rand(n, 1, 1, 1, generator=g))
        x += F.interpolate(layer, size=SIZE, mode="bilinear", align_corners=False)
    grey = x.mean(1, keepdim=True)
    return (grey + (x - grey) * torch.rand(n, 1, 1, 1, generator=g)).clamp(-1, 1)


def shuffled(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    """Sixteenths of each picture in another order."""
    n, s = len(x), SIZE // 4
    parts = x.view(n, 3, 4, s, 4, s).permute(0, 2, 4, 1, 3, 5).reshape(n, 16, 3, s, s)
    parts = torch.stack([p[torch.randperm(16, generator=g)] for p in parts])
    return parts.view(n, 4, 4, 3, s, s).permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


def batch(data: list[tuple[Portraits, torch.Tensor, torch.Tensor]], step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pictures, their points (NaN: not known) and whether there is a face (NaN: not to be asked). A function of the step alone."""
    rng, g = np.random.default_rng([SEED, step]), torch.Generator().manual_seed(SEED * 1_000_003 + step)
    pictures, points, face = [], [], []
    redrawn = round(BATCH * REDRAWN)
    for (source, known, there), count in zip(data, (BATCH - redrawn, redrawn)):
        picks = rng.choice(len(source), count, replace=False)
        pictures.append(np.stack([source[int(i)] for i in picks]))
        points.append(known[picks])
        face.append(there[picks])
    x, points, face = to_tensor(np.concatenate(pictures)), torch.cat(points), torch.cat(face)
    x, points = moved(x, points, g)
    x = varied(x, g)
    # Two pictures of a batch become none, two others are torn apart.
    x[:2], x[2:4] = clouds(2, g), shuffled(x[2:4], g)
    points[:4], face[:4] = math.nan, 0.0
    out = ((points < EDGE) | (points > SIZE - EDGE)).any(2).any(1)
    points[out], face[out] = math.nan, math.nan
    return x.contiguous(memory_format=torch.channels_last), points, face


def loss_of(logit: torch.Tensor, maps: torch.Tensor, points: torch.Tensor, face: torch.Tensor) -> dict:
    asked, known = ~face.isnan(), ~points.isnan().any(2).any(1)
    there = F.binary_cross_entropy_with_logits(logit.float()[asked], face[asked])
    maps, points = maps[known], points[known]
    cell = (torch.arange(MAP, dtype=torch.float32) + 0.5) * (SIZE / MAP)
    near = lambda v: torch.exp(-((cell - v[..., None]) / (SPREAD * SIZE / MAP)) ** 2 / 2)
    want = (near(points[..., 1])[..., None] * near(points[..., 0])[..., None, :]).flatten(2)
    want = want / want.sum(2, keepdim=True)
    blot = -(want * maps.float().flatten(2).log_softmax(2)).sum(2).mean() - -(want * want.clamp_min(1e-12).log()).sum(2).mean()
    apart = (points[:, 1] - points[:, 0]).norm(dim=1).clamp_min(10.0)
    off = (points_of(maps) - points).abs().sum(2).mean(1) / apart
    return {"there": there, "blot": blot, "off": off.clamp_max(2.0).mean()}


@torch.no_grad()
def judge(net: Finder, x: torch.Tensor, points: torch.Tensor, face: torch.Tensor) -> dict:
    """`roc`: area under it. `found`: share of faces above 0.5, `seen`: of other pictures. `off`: point error over the eyes' distance."""
    net.eval()
    logit, maps = (torch.cat(p) for p in zip(*[net(part) for part in x.split(64)]))
    net.train()
    known = ~points.isnan().any(2).any(1)
    apart = (points[known, 1] - points[known, 0]).norm(dim=1)
    off = ((points_of(maps[known]) - points[known]).norm(dim=2).mean(1) / apart).sort().values
    yes, no = logit[face == 1], logit[face == 0]
    roc = (yes[:, None] > no[None]).float().mean()
    quantile = lambda q: round(off[int(q * (len(off) - 1))].item(), 4)
    return {"roc": round(roc.item(), 4), "found": round((yes > 0).float().mean().item(), 4), "seen": round((no > 0).float().mean().item(), 4), "off": round(off.mean().item(), 4), "off_50_90_99": [quantile(q) for q in (0.5, 0.9, 0.99)]}


def export(net: Finder, found: dict, out: Path):
    tensors = {}
    for i, (down, block) in enumerate(zip(net.down, net.blocks)):
        parts = [("down", down)] + ([("first", block.first), ("second", block.second)] if isinstance(block, Block) else [])
        for name, conv in parts:
            tensors[f"{i}.{name}.weight"], tensors[f"{i}.{name}.bias"] = conv.folded()
    for i, (below, across, up) in enumerate(zip(net.below, net.across, net.up)):
        tensors[f"up.{i}.below.weight"] = below.weight
        tensors[f"up.{i}.across.weight"], tensors[f"up.{i}.across.bias"] = across.weight, across.bias
        tensors[f"up.{i}.conv.weight"], tensors[f"up.{i}.conv.bias"] = up.folded()
    for name in ("maps", "seen", "face"):
        layer = getattr(net, name)
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = layer.weight, layer.bias
    half = {k: v.detach().half().contiguous() for k, v in tensors.items()}
    save_file(half, out, metadata={"spinbot.faces": json.dumps(found, separators=(",", ":"))})
    print(f"{out}: {out.stat().st_size} bytes, {sum(v.numel() for v in half.values())} numbers")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("faces", type=Path)
    p.add_argument("run", type=Path)
    p.add_argument("out", type=Path)
    p.add_argument("--steps", type=int, default=2200)
    p.add_argument("--threads", type=int, default=1)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(SEED)
    folders = (o.faces, o.faces / "redrawn")
    data = [(Portraits(folder), *told(Portraits(folder).attributes())) for folder in folders]
    held = {name: (to_tensor(load_pictures(folder / "heldout.rgb")), *told(load_attributes(folder / "heldout.jsonl"))) for name, folder in zip(("drawn", "redrawn"), folders)}
    run, step = Run(o.run, {"steps": o.steps, "pictures": [len(source) for source, *_ in data]}), 0
    net = Finder().to(memory_format=torch.channels_last)
    trainer = Trainer(net.named_parameters(), lr=LR, adam_lr=ADAM_LR, total=o.steps, plain=("down.0", "face", "maps"), weight_decay=WEIGHT_DECAY)
    if (state := run.restore()) is not None:
        step = state["step"]
        net.load_state_dict(state["net"])
        trainer.load(state["trainer"])
    while step < o.steps and not run.stopping:
        x, points, face = batch(data, step)
        with torch.autocast("cpu", torch.bfloat16):
            logit, maps = net(x)
        losses = loss_of(logit, maps, points, face)
        (losses["there"] + 0.5 * losses["blot"] + 2.0 * losses["off"]).backward()
        trainer.step(step)
        step += 1
        if step % LOG_EVERY == 0:
            run.log(step=step, **{name: round(value.item(), 4) for name, value in losses.items()})
        if step % 1000 == 0 or step == o.steps:
            run.log(step=step, **{name: judge(net, *part) for name, part in held.items()})
        if run.due() or step == o.steps:
            run.save(step, {"net": net.state_dict(), "trainer": trainer.state()})
    run.close()
    if run.stopping:
        raise SystemExit(STOPPED)
    net.eval()
    export(net, {name: judge(net, *part) for name, part in held.items()}, o.out)


if __name__ == "__main__":
    main()
