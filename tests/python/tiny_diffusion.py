"""A Stable Diffusion of widths of 32 with random weights, and LoRAs for it, written by the tests themselves."""

from __future__ import annotations

import array
import json
import math
import pathlib
import random
import shutil
import struct

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "diffusion"


def safetensors(path: pathlib.Path, tensors: dict[str, tuple[list[int], array.array]], metadata: dict[str, str]) -> None:
    """Writes f32 tensors."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for name, (shape, values) in tensors.items():
        size = len(values) * 4
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(values.tobytes() for _, values in tensors.values()))


def weight(name: str, shape: list[int], chance: random.Random) -> array.array:
    """Of a fan-in's spread, 1 for the scale of a normalisation, 0 for a bias."""
    count = math.prod(shape)
    if len(shape) == 1:
        return array.array("f", [1.0 if name.endswith("weight") else 0.0] * count)
    spread = 1 / math.sqrt(math.prod(shape[1:]))
    return array.array("f", (chance.gauss(0.0, spread) for _ in range(count)))


def write_model(folder: pathlib.Path, seed: int = 0) -> pathlib.Path:
    """A diffusers folder."""
    description = json.loads((FIXTURES / "folder.json").read_text())
    chance = random.Random(seed)
    for component, part in description["components"].items():
        place = folder / component
        place.mkdir(parents=True)
        (place / "config.json").write_text(json.dumps(part["config"]))
        tensors = {name: (shape, weight(name, shape, chance)) for name, shape in part["shapes"].items()}
        file = "model.safetensors" if component == "text_encoder" else "diffusion_pytorch_model.safetensors"
        safetensors(place / file, tensors, {})
    (folder / "model_index.json").write_text(json.dumps(description["model_index.json"]))
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(description["scheduler"]))
    shutil.copytree(FIXTURES / "tokenizer", folder / "tokenizer")
    return folder


def write_lora(path: pathlib.Path, width: int = 32, seed: int = 0, trigger: str = "nova") -> pathlib.Path:
    """A LoRA of rank 2 on the first attention's queries, keys and values, under kohya's names; `width` channels."""
    chance = random.Random(seed)
    tensors: dict[str, tuple[list[int], array.array]] = {}
    for layer in ("to_q", "to_k", "to_v"):
        stem = f"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_{layer}"
        for leaf, shape in (("lora_down", [2, width]), ("lora_up", [width, 2])):
            values = array.array("f", (chance.gauss(0.0, 0.5) for _ in range(2 * width)))
            tensors[f"{stem}.{leaf}.weight"] = (shape, values)
        tensors[f"{stem}.alpha"] = ([], array.array("f", [2.0]))
    metadata = {"ss_network_dim": "2", "ss_steps": "120", "modelspec.trigger_phrase": trigger}
    safetensors(path, tensors, metadata)
    return path
