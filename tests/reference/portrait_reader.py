"""What the portrait reader's weights say of the pictures in notebooks/media/bots, computed in plain NumPy.
usage: portrait_reader.py > portrait_reader.json"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]


def weights(path: Path) -> tuple[dict, dict]:
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    about = json.loads(header.pop("__metadata__")["spinbot.reader"])
    data = raw[8 + length :]
    read = lambda e: np.frombuffer(data[slice(*e["data_offsets"])], np.float16).reshape(e["shape"]).astype(np.float64)
    return {name: read(entry) for name, entry in header.items()}, about


def conv(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, w, optimize=True) + b[:, None, None]


def read(x: np.ndarray, t: dict) -> tuple[np.ndarray, np.ndarray]:
    relu = lambda v: np.maximum(v, 0)
    for n in range(5):
        x = relu(conv(x, t[f"{n}.down.weight"], t[f"{n}.down.bias"], 2))
        if f"{n}.first.weight" in t:
            inner = relu(conv(x, t[f"{n}.first.weight"], t[f"{n}.first.bias"], 1))
            x = relu(x + conv(inner, t[f"{n}.second.weight"], t[f"{n}.second.bias"], 1))
    dense = lambda v, name: t[f"{name}.weight"] @ v + t[f"{name}.bias"]
    x = relu(dense(x.ravel(), "features"))
    figure = dense(x, "figure")
    return dense(x, "attributes"), figure / np.linalg.norm(figure)


def main():
    t, about = weights(ROOT / "spinbot/models/weights/portrait-reader.safetensors")
    out = {}
    for path in sorted((ROOT / "notebooks/media/bots").rglob("*.png")):
        picture = np.asarray(Image.open(path).convert("RGB"))
        assert picture.shape == (128, 128, 3), path
        logits, figure = read(picture.transpose(2, 0, 1) / 127.5 - 1, t)
        seen, at = {}, 0
        for attribute in about["attributes"]:
            part = logits[at : at + len(attribute["values"])]
            at += len(part)
            shares = np.exp(part - part.max())
            seen[attribute["name"]] = [attribute["values"][int(part.argmax())], round(float(shares.max() / shares.sum()), 5)]
        out[str(path.relative_to(ROOT))] = {"seen": seen, "figure": [round(float(v), 6) for v in figure]}
    json.dump(out, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
