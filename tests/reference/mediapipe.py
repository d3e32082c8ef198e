"""MediaPipe's face mesh and selfie segmentation, run by the original programs: the numbers the Rust port is held against.

    python mediapipe.py MODULES PICTURE > mediapipe.json

MODULES is the folder `mediapipe/modules` of the PyPI package mediapipe 0.10.14; PICTURE is astronaut.png. Needs that
package, ai-edge-litert, numpy and Pillow. The mesh's network is given an unscaled crop, so that no resize is compared;
the segmentation is the package's own pipeline, given a picture of just its size.
"""

import json
import sys
from pathlib import Path

import mediapipe
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

MESH_CROP = (127, 40, 319, 232)
MATTE_CROP = (95, 0, 351, 256)
EVERY = 8


def main(modules, picture):
    picture = Image.open(picture).convert("RGB")
    network = Interpreter(model_path=str(Path(modules) / "face_landmark" / "face_landmark.tflite"))
    network.allocate_tensors()
    crop = np.asarray(picture.crop(MESH_CROP), np.float32)[None] / 255
    network.set_tensor(network.get_input_details()[0]["index"], crop)
    network.invoke()
    outputs = {detail["shape"][-1]: network.get_tensor(detail["index"]).ravel() for detail in network.get_output_details()}
    segmentation = mediapipe.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
    matte = segmentation.process(np.asarray(picture.crop(MATTE_CROP))).segmentation_mask
    json.dump(
        {
            "mesh": {
                "crop": MESH_CROP,
                "points": [round(float(value), 4) for value in outputs[1404]],
                "presence": float(1 / (1 + np.exp(-outputs[1][0]))),
            },
            "matte": {
                "crop": MATTE_CROP,
                "every": EVERY,
                "shares": [round(float(value), 5) for value in matte[::EVERY, ::EVERY].ravel()],
            },
        },
        sys.stdout,
    )


main(*sys.argv[1:])
