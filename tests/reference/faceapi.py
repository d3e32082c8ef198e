"""face-api's tiny face detector, 68 landmarks and face recognition in plain numpy: the numbers the Rust port is held against.

    python faceapi.py MODEL_FOLDER PICTURE > faceapi.json

MODEL_FOLDER is `package/model` of the npm package @vladmandic/face-api 1.7.15 (`npm pack` fetches it); needs numpy
and Pillow. Written from the package's TypeScript sources (tinyYolov2/, faceFeatureExtractor/, faceLandmarkNet/, faceRecognitionNet/),
not from the Rust code: nothing here is shared with the port but the resize's definition. Checked once against the
package itself, run in Node on TensorFlow.js' CPU backend with the same resized inputs: score and box agree to 1e-5,
the landmarks to 7e-5 pixels.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ANCHORS = [(1.603231, 2.094468), (6.041143, 7.080126), (2.882459, 3.518061), (4.266906, 5.178857), (9.041765, 10.66308)]
SAME_FACE = 0.3


def load_weights(folder, name):
    """The weights by name, dequantised in f64 and rounded once, in TensorFlow's axis order."""
    listing = json.loads((folder / f"{name}-weights_manifest.json").read_text())
    raw = (folder / f"{name}.bin").read_bytes()
    weights, offset = {}, 0
    for weight in (w for group in listing for w in group["weights"]):
        quantization = weight.get("quantization", {"dtype": weight["dtype"], "scale": 1.0, "min": 0.0})
        count = math.prod(weight["shape"])
        stored = np.frombuffer(raw, quantization["dtype"], count, offset)
        offset += stored.nbytes
        values = (stored.astype(np.float64) * quantization["scale"] + quantization["min"]).astype(np.float32)
        weights[weight["name"]] = values.reshape(weight["shape"])
    assert offset == len(raw)
    return weights


def resize_matrix(before, after):
    """[after, before] weights of a bilinear resize whose triangle widens when it shrinks (PIL's BILINEAR)."""
    scale = before / after
    reach = max(scale, 1.0)
    centres = (np.arange(after) + 0.5) * scale - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(np.arange(before)[None] - centres[:, None]) / reach)
    return weights / weights.sum(axis=1, keepdims=True)


def resize_square(square, side):
    matrix = resize_matrix(len(square), side)
    return np.einsum("yh,hwc,xw->yxc", matrix, square.astype(np.float64), matrix, optimize=True).astype(np.float32)


def windows(x, kernel, stride):
    """[h, w, c] -> [out_h, out_w, c, kernel, kernel]"""
    return np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(0, 1))[::stride, ::stride]


def conv(x, filters, bias, stride):
    return np.einsum("yxcij,ijco->yxo", windows(x, filters.shape[0], stride), filters, optimize=True) + bias


def separable(x, weights, name, stride):
    depthwise = np.einsum("yxcij,ijc->yxc", windows(x, 3, stride), weights[f"{name}/depthwise_filter"][..., 0])
    return depthwise @ weights[f"{name}/pointwise_filter"][0, 0] + weights[f"{name}/bias"]


def pad_same(x, stride):
    """TensorFlow's SAME for a 3x3 window: what is odd goes to the bottom and the right."""
    pads = []
    for size in x.shape[:2]:
        total = max((math.ceil(size / stride) - 1) * stride + 3 - size, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, [*pads, (0, 0)])


def max_pool(x, stride):
    """SAME for a 2x2 window."""
    pads = [(0, (math.ceil(size / stride) - 1) * stride + 2 - size) for size in x.shape[:2]]
    x = np.pad(x, [*pads, (0, 0)], constant_values=-np.inf)
    return windows(x, 2, stride).max(axis=(-1, -2))


def leaky(x):
    return np.maximum(x, x * np.float32(0.1))


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def overlap(a, b):
    w = min(a["x"] + a["w"], b["x"] + b["w"]) - max(a["x"], b["x"])
    h = min(a["y"] + a["h"], b["y"] + b["h"]) - max(a["y"], b["y"])
    both = max(w, 0.0) * max(h, 0.0)
    return both / (a["w"] * a["h"] + b["w"] * b["h"] - both)


def detect(weights, picture, input_size=416, threshold=0.5):
    """Boxes in pixels of the picture, best first. The picture lies in the top left of a black square."""
    height, width = picture.shape[:2]
    side = max(height, width)
    square = np.pad(picture, [(0, side - height), (0, side - width), (0, 0)])
    x = (resize_square(square, input_size) - np.array([117.001, 114.697, 97.404], np.float32)) / np.float32(255)
    one = [(1, 1), (1, 1), (0, 0)]
    x = leaky(conv(x, weights["conv0/filters"], weights["conv0/bias"], 1))
    for layer in range(1, 6):
        x = leaky(separable(np.pad(max_pool(x, 2), one), weights, f"conv{layer}", 1))
    cells = conv(max_pool(x, 1), weights["conv8/filters"], weights["conv8/bias"], 1)
    count = len(cells)
    boxes = []
    for row, column, anchor in np.ndindex(count, count, len(ANCHORS)):
        x, y, w, h, score = cells[row, column, anchor * 5 : anchor * 5 + 5].astype(np.float64)
        if sigmoid(score) >= threshold:
            w, h = np.exp(w) * ANCHORS[anchor][0], np.exp(h) * ANCHORS[anchor][1]
            left, top = column + sigmoid(x) - w / 2, row + sigmoid(y) - h / 2
            box = {"score": sigmoid(score), "x": left, "y": top, "w": w, "h": h}
            boxes.append({key: value * (1 if key == "score" else side / count) for key, value in box.items()})
    boxes.sort(key=lambda box: -box["score"])
    kept = []
    for box in boxes:
        if all(overlap(better, box) <= SAME_FACE for better in kept):
            kept.append(box)
    return kept


def dense_block(x, weights, name, full):
    padded = pad_same(x, 2)
    if full:
        out1 = conv(padded, weights[f"{name}/conv0/filters"], weights[f"{name}/conv0/bias"], 2)
    else:
        out1 = separable(padded, weights, f"{name}/conv0", 2)
    out1 = np.maximum(out1, 0)
    out2 = separable(pad_same(out1, 1), weights, f"{name}/conv1", 1)
    in3 = np.maximum(out1 + out2, 0)
    out3 = separable(pad_same(in3, 1), weights, f"{name}/conv2", 1)
    in4 = np.maximum(out1 + out2 + out3, 0)
    out4 = separable(pad_same(in4, 1), weights, f"{name}/conv3", 1)
    return np.maximum(out1 + out2 + out3 + out4, 0)


def landmark_net(weights, square112):
    """[112, 112, 3] RGB 0..255 -> [68, 2] as fractions of the square's side."""
    x = (square112 - np.array([122.782, 117.001, 104.298], np.float32)) / np.float32(255)
    for block in range(4):
        x = dense_block(x, weights, f"dense{block}", block == 0)
    return (x.mean(axis=(0, 1)) @ weights["fc/weights"] + weights["fc/bias"]).reshape(68, 2)


def landmarks(weights, picture, box):
    """[68, 2] in pixels of the picture: the box cut to the picture, centred on a black square, resized to 112."""
    height, width = picture.shape[:2]
    left, top = max(box["x"], 0.0), max(box["y"], 0.0)
    w = math.floor(min(box["x"] + box["w"] - left, width - left))
    h = math.floor(min(box["y"] + box["h"] - top, height - top))
    left, top = math.floor(left), math.floor(top)
    side = max(w, h)
    dx, dy = (side - w) // 2, (side - h) // 2
    square = np.zeros((side, side, 3), np.float32)
    square[dy : dy + h, dx : dx + w] = picture[top : top + h, left : left + w]
    return landmark_net(weights, resize_square(square, 112)) * side + np.array([left - dx, top - dy])


def scaled(x, weights, name, stride, same):
    """A convolution whose outputs are scaled and shifted."""
    filters = weights[f"{name}/conv/filters"]
    x = np.pad(x, [(1, 1), (1, 1), (0, 0)]) if same else x
    x = conv(x, filters, weights[f"{name}/conv/bias"], stride)
    return x * weights[f"{name}/scale/weights"] + weights[f"{name}/scale/biases"]


def residual(x, weights, name, down):
    out = np.maximum(scaled(x, weights, f"{name}/conv1", 2 if down else 1, not down), 0)
    out = scaled(out, weights, f"{name}/conv2", 1, True)
    if down:
        x = windows(x, 2, 2).mean(axis=(-1, -2))
        out = np.pad(out, [(0, x.shape[0] - out.shape[0]), (0, x.shape[1] - out.shape[1]), (0, 0)])
        x = np.pad(x, [(0, 0), (0, 0), (0, out.shape[2] - x.shape[2])])
    return np.maximum(out + x, 0)


def faceprint(weights, picture, points):
    """128 numbers of the face of these landmarks, cut as `FaceLandmarks.alignDlib` cuts it."""
    centres = np.array([points[36:42].mean(0), points[42:48].mean(0), points[48:68].mean(0)])
    side = math.floor(np.linalg.norm(centres[:2] - centres[2], axis=1).mean() / 0.45)
    left, top = np.floor(centres.mean(0) - np.array([0.5, 0.43]) * side).astype(int)
    square = np.zeros((side, side, 3), np.float32)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, picture.shape[1]), min(top + side, picture.shape[0])
    square[y0 - top : y1 - top, x0 - left : x1 - left] = picture[y0:y1, x0:x1]
    x = (resize_square(square, 150) - np.array([122.782, 117.001, 104.298], np.float32)) / np.float32(255)
    x = np.maximum(scaled(x, weights, "conv32_down", 2, False), 0)
    x = windows(x, 3, 2).max(axis=(-1, -2))
    for name in ["conv32_1", "conv32_2", "conv32_3", "conv64_down", "conv64_1", "conv64_2", "conv64_3", "conv128_down",
                 "conv128_1", "conv128_2", "conv256_down", "conv256_1", "conv256_2", "conv256_down_out"]:
        x = residual(x, weights, name, "down" in name)
    return x.mean(axis=(0, 1)) @ weights["fc"]


def main():
    folder, path = Path(sys.argv[1]), Path(sys.argv[2])
    picture = np.asarray(Image.open(path).convert("RGB"))
    detector = load_weights(folder, "tiny_face_detector_model")
    landmarker = load_weights(folder, "face_landmark_68_model")
    recogniser = load_weights(folder, "face_recognition_model")
    faces = []
    for box in detect(detector, picture):
        points = landmarks(landmarker, picture, box)
        faces.append({
            **{key: round(float(value), 5) for key, value in box.items()},
            "landmarks": np.round(points, 4).tolist(),
            "print": np.round(faceprint(recogniser, picture, points).astype(float), 6).tolist(),
        })
    # Sums over every weight, weighted by position: equal only if dequantising and axis order are right.
    checks = {
        name: float(np.sum(values.astype(np.float64).ravel() * (np.arange(values.size) % 97 + 1)))
        for name, values in {**detector, **landmarker}.items()
        if values.ndim < 3
    }
    json.dump({"picture": path.name, "size": picture.shape[1::-1], "faces": faces, "weight_sums": checks}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
