"""A model small enough to train in seconds, and pictures for it, good and bad. The model's weights are numbers of a seed: what it draws
is noise, what it learns is measured by its own loss."""

from __future__ import annotations

import json
import math
import pathlib
import shutil
import subprocess

import numpy
from PIL import Image, ImageDraw

from material import FIXTURES

CLASSES = {
    "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "DDIMScheduler"],
}  # fmt: skip
COLOURS = ["#3060d0", "#d0a020", "#30a050", "#c03060", "#8040c0", "#208090"]


def write_safetensors(path: pathlib.Path, tensors: dict[str, numpy.ndarray]) -> None:
    """Tensors of f32 as a safetensors file."""
    header, at = {}, 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(numpy.ascontiguousarray(tensor, "<f4").tobytes() for tensor in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def tiny_model(folder: pathlib.Path) -> None:
    """Writes a model of ../fixtures/diffusion/tiny.json as diffusers keep one."""
    described = json.loads((FIXTURES / "diffusion" / "tiny.json").read_text())
    random = numpy.random.default_rng(7)

    def weight(name: str, shape: list[int]) -> numpy.ndarray:
        if len(shape) == 1:
            return numpy.full(shape, 1 if name.endswith("weight") else 0, "f4")
        return (random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))).astype("f4")

    for component, parts in described.items():
        place = folder / component
        place.mkdir(parents=True)
        name = "scheduler_config.json" if component == "scheduler" else "config.json"
        (place / name).write_text(json.dumps(parts["config"]))
        if parts["weights"]:
            stem = "model" if component == "text_encoder" else "diffusion_pytorch_model"
            weights = {name: weight(name, shape) for name, shape in parts["weights"].items()}
            write_safetensors(place / f"{stem}.safetensors", weights)
    shutil.copytree(FIXTURES / "diffusion" / "tokenizer", folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **CLASSES}))


def add_tiny_model(spinbot: str, folder: pathlib.Path) -> str:
    """Makes such a model known under an id of its own, and returns the id."""
    model = folder / "tiny-model"
    tiny_model(model)
    identifier = f"tiny-{folder.name}"
    subprocess.run([spinbot, "models", "add", str(model), "--as", identifier], check=True, capture_output=True, timeout=120)
    return identifier


def drawing(n: int, size: int = 96) -> Image.Image:
    """A figure of its own colour before a plain wall, never twice the same."""
    picture = Image.new("RGB", (size, size + 8 * (n % 3)), COLOURS[n % len(COLOURS)])
    draw = ImageDraw.Draw(picture)
    left = 20 + n
    draw.ellipse((left, 18, left + 44, 66), "#f0c8a0", "black")
    draw.rectangle((left + 4, 66, left + 40, 96), "#404048")
    draw.rectangle((left + 10, 34, left + 16, 38 + n % 4), "black")
    draw.rectangle((left + 28, 34, left + 34, 38 + n % 4), "black")
    return picture


def lay_out(folder: pathlib.Path) -> None:
    """`good/` (six drawings, captions beside two), `mixed/` (four good, three of no use), `one/`, `none/`."""
    for name in ("good", "mixed", "one", "none"):
        (folder / name).mkdir()
    for n in range(6):
        drawing(n).save(folder / "good" / f"{n}.png")
    (folder / "good" / "0.txt").write_text("a robot with a red hat")
    (folder / "good" / "1.txt").write_text("portrait of {}, long hat")
    for n in range(4):
        drawing(n).save(folder / "mixed" / f"{n}.jpg", quality=95)
    whole = (folder / "good" / "0.png").read_bytes()
    (folder / "mixed" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "mixed" / "text.png").write_text("This is no picture.\n" * 40)
    (folder / "mixed" / "void.png").write_bytes(b"")
    shutil.copy(FIXTURES / "portraits" / "astronaut.png", folder / "one" / "face.png")
    (folder / "none" / "notes.txt").write_text("no picture here")
