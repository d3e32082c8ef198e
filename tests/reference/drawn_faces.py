"""What the weights of the finder of drawn faces say of the pictures in fixtures/drawn/faces.json, in one look, computed in plain NumPy.
usage: drawn_faces.py > drawn_faces.json"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
DRAWN = ROOT / "tests/fixtures/drawn"


def weights(path: Path) -> dict:
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__")
    data = raw[8 + length :]
    return {name: np.frombuffer(data[slice(*e["data_offsets"])], np.float16).reshape(e["shape"]).astype(np.float64) for name, e in header.items()}


def conv(x: np.ndarray, w: np.ndarray, b: np.ndarray, stride: int = 1) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("chwij,ocij->ohw", windows, w, optimize=True) + b[:, None, None]


def find(x: np.ndarray, t: dict) -> tuple[float, np.ndarray]:
    """3 x 128 x 128 in [-1, 1] -> how sure it is, and four points in pixels."""
    relu = lambda v: np.maximum(v, 0)
    three = lambda v, name, stride=1: conv(v, t[f"{name}.weight"], t[f"{name}.bias"], stride)
    one = lambda v, name: np.einsum("chw,oc->ohw", v, t[f"{name}.weight"][:, :, 0, 0])
    steps = []
    for n in range(5):
        x = relu(three(x, f"{n}.down", 2))
        if f"{n}.first.weight" in t:
            x = relu(x + three(relu(three(x, f"{n}.first")), f"{n}.second"))
        steps.append(x)
    seen = relu(t["seen.weight"] @ np.concatenate([x.mean((1, 2)), x.max((1, 2))]) + t["seen.bias"])
    score = 1 / (1 + np.exp(-(t["face.weight"] @ seen + t["face.bias"])[0]))
    for n in (2, 1, 0):
        below = one(x, f"up.{n}.below").repeat(2, 1).repeat(2, 2)
        x = relu(three(relu(below + one(steps[n + 1], f"up.{n}.across") + t[f"up.{n}.across.bias"][:, None, None]), f"up.{n}.conv"))
    maps = three(x, "maps")
    shares = np.exp(maps - maps.max((1, 2), keepdims=True))
    shares /= shares.sum((1, 2), keepdims=True)
    cell = (np.arange(32) + 0.5) * 4
    return score, np.stack([(shares.sum(1) * cell).sum(1), (shares.sum(2) * cell).sum(1)], 1)


def main():
    t = weights(ROOT / "spinbot/models/weights/drawn-faces.safetensors")
    out = {}
    for name in json.loads((DRAWN / "faces.json").read_text()):
        picture = np.asarray(Image.open(DRAWN / name).convert("RGB"))
        assert picture.shape == (128, 128, 3), name
        score, points = find(picture.transpose(2, 0, 1) / 127.5 - 1, t)
        out[name] = {"score": round(float(score), 6), "points": [[round(float(v), 5) for v in p] for p in points]}
    json.dump(out, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
