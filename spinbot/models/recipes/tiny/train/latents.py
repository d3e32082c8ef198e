"""Latents of all portraits, encoded once, and what a picture's latents say about its attributes.

Cached per shard as float16 beside the run, N x 8 x 16 x 16, already scaled for the UNet."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from portraits import Portraits, load_pictures, to_tensor


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: np.ndarray, batch: int = 32) -> np.ndarray:
    parts = []
    for i in range(0, len(pictures), batch):
        with torch.autocast("cpu", torch.bfloat16):
            z = vae.encode(to_tensor(pictures[i : i + batch])).latent_dist.mean
        parts.append((z.float() * vae.config.scaling_factor).half().numpy())
    return np.concatenate(parts)


def cached(vae: AutoencoderKL, portraits: Portraits, folder: Path, stopping=lambda: False) -> tuple[list[np.ndarray], np.ndarray]:
    """Latents of every shard (memory maps) and of the held-out pictures; encodes what is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in [*portraits.names, "heldout"]:
        if not (folder / f"{name}.npy").exists() and not stopping():
            z = encode(vae, load_pictures(portraits.folder / f"{name}.rgb"))
            np.save(folder / f"{name}.part.npy", z)
            (folder / f"{name}.part.npy").rename(folder / f"{name}.npy")
    if stopping():
        raise SystemExit("stopped while encoding; the next start goes on")
    return [np.load(folder / f"{n}.npy", mmap_mode="r") for n in portraits.names], np.load(folder / "heldout.npy")


class AttributeProbe:
    """Reads attributes off latents by ridge regression to one-hot answers: one linear map for each attribute.

    Its accuracy on real held-out latents is the ceiling against which a sampler's score is to be read."""

    ASKED = ("bg", "scene", "clothes", "kind", "skin", "hair_color", "hat", "glasses", "beard", "mouth", "metal")
    PRESENCE = {"hat": "none", "glasses": "none", "beard": "none"}  # asked as there or not there

    def __init__(self, latents: np.ndarray, attributes: list[dict], ridge: float = 300.0):
        x = self._features(latents)
        self.maps = {}
        gram = x.T @ x
        gram.diagonal().add_(ridge)
        factor = torch.linalg.cholesky(gram)
        for name in self.ASKED:
            answers = [self.answer(a, name) for a in attributes]
            known = torch.tensor([a is not None for a in answers])
            values = sorted({a for a in answers if a is not None})
            target = torch.zeros(len(x), len(values))
            for i, a in enumerate(answers):
                if a is not None:
                    target[i, values.index(a)] = 1
            # Balanced over the answers; the pictures to which the question does not apply pull to no answer.
            target = torch.where(known[:, None], target - target.sum(0) / known.sum(), target)
            self.maps[name] = (values, torch.cholesky_solve(x.T @ target, factor))

    @staticmethod
    def _features(latents: np.ndarray) -> torch.Tensor:
        x = torch.from_numpy(np.asarray(latents, np.float32)).flatten(1)
        return torch.cat([x, torch.ones(len(x), 1)], 1)

    @classmethod
    def answer(cls, a: dict, name: str):
        value = a.get(name)
        return value if value is None or name not in cls.PRESENCE else str(value != cls.PRESENCE[name])

    def score(self, latents: np.ndarray, attributes: list[dict]) -> dict[str, float]:
        """Share of pictures whose latents answer as `attributes` ask, for each attribute that is asked at all."""
        x, out = self._features(latents), {}
        for name, (values, weight) in self.maps.items():
            asked = [(i, self.answer(a, name)) for i, a in enumerate(attributes) if self.answer(a, name) is not None]
            if asked:
                guesses = (x @ weight).argmax(1)
                out[name] = round(sum(values[guesses[i]] == want for i, want in asked) / len(asked), 3)
        return out
