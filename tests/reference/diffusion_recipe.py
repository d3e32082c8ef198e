"""Weights and inputs that follow from names alone, which the Rust tests repeat (spinbot/models/tests/common/recipe.rs), so that
reference files hold outputs only."""
import numpy as np
import torch


def recipe(name: str, shape) -> torch.Tensor:
    """Uniform in -1..1: 32-bit FNV-1a of the name, then MurmurHash3's finaliser of that plus a multiple of the index."""
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    x = (np.arange(int(np.prod(shape)), dtype=np.uint64) * 0x9E3779B9 + seed) % 2**32
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> np.uint64(shift))) * factor % 2**32
    x ^= x >> np.uint64(16)
    return torch.from_numpy((x.astype(np.float64) / 2**31 - 1).astype(np.float32)).reshape(tuple(shape))


def weight(name: str, shape) -> torch.Tensor:
    """Of a fan-in's spread, around 1 for the scale of a normalisation, small for a bias."""
    u = recipe(name, shape)
    if len(shape) > 1:
        return u * float(np.float32(np.sqrt(3 / np.prod(shape[1:]))))
    return 1 + u * np.float32(0.1) if name.endswith("weight") else u * np.float32(0.1)


def filled(model: torch.nn.Module) -> torch.nn.Module:
    """The model with the weights of its names, ready to predict."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(weight(name, value.shape))
    return model.eval()
