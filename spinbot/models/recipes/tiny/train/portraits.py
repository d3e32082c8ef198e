"""The drawn portraits: shards of raw pictures and their attributes, and batches that depend on (seed, step) only.

A batch is a pure function of its step, so a resumed run sees what an uninterrupted one would have seen and no RNG state needs saving.
Pictures are float32 in [-1, 1], N x 3 x H x W."""

import json
from pathlib import Path

import numpy as np
import torch

SIZE = 128


def load_pictures(path: Path) -> np.ndarray:
    """One .rgb file as a read-only uint8 map, N x 128 x 128 x 3."""
    return np.memmap(path, np.uint8, "r").reshape(-1, SIZE, SIZE, 3)


def load_attributes(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Portraits:
    """All training shards of a folder that draw/generate.mjs filled."""

    def __init__(self, folder: Path):
        self.names = sorted(p.stem for p in folder.glob("shard_*.rgb"))
        if not self.names:
            raise SystemExit(f"{folder} holds no shards. Draw them first: node draw/generate.mjs {folder}")
        self.folder = folder
        self.shards = [load_pictures(folder / f"{name}.rgb") for name in self.names]
        self.starts = np.cumsum([0, *map(len, self.shards)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> np.ndarray:
        shard = int(np.searchsorted(self.starts, index, "right")) - 1
        return self.shards[shard][index - self.starts[shard]]

    def attributes(self) -> list[dict]:
        return [a for name in self.names for a in load_attributes(self.folder / f"{name}.jsonl")]

    def crops(self, seed: int, step: int, count: int, size: int) -> torch.Tensor:
        """`count` crops of `size` pixels for the autoencoder, more of them near the middle, where faces are; mirrored half of
        the time, channels permuted in a third (colours of characters and photographs to come), turned by a right angle in a tenth."""
        rng = np.random.default_rng([seed, step])
        out = np.empty((count, size, size, 3), np.uint8)
        for k in range(count):
            picture = self[int(rng.integers(len(self)))]
            y, x = ((rng.random(2) + rng.random(2)) / 2 * (SIZE - size + 1)).astype(int)
            picture = picture[y : y + size, x : x + size]
            if rng.random() < 0.5:
                picture = picture[:, ::-1]
            if rng.random() < 0.33:
                picture = picture[..., rng.permutation(3)]
            if rng.random() < 0.1:
                picture = np.rot90(picture, int(rng.integers(1, 4)))
            out[k] = picture
        return to_tensor(out)
