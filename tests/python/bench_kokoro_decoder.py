"""Kokoro's decoder beside onnxruntime on the same features, turn and turn about; the least of many runs counts.
Then the signal-to-noise ratio of our audio against onnxruntime's, given its excitation.

    python3 tests/python/bench_kokoro_decoder.py PROGRAM WEIGHTS ONNX [SECONDS [THREADS...]]

PROGRAM is the example `kokoro_decoder` of spinbot-models, WEIGHTS the file of `spinbot models pull kokoro`, ONNX the
f32 model of the same weights (a single file with the inputs tokens, style and speed). Needs numpy, onnx, onnxruntime
and safetensors.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

program, weights, model = sys.argv[1:4]
seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 4.0
thread_counts = [int(n) for n in sys.argv[5:]] or [1, 2]

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnx.utils  # noqa: E402
import onnxruntime  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

TAPS = {
    "asr": "/encoder/MatMul_1_output_0",
    "f0": "/encoder/F0_proj/Conv_output_0",
    "energy": "/encoder/N_proj/Conv_output_0",
}
HAR = "/decoder/decoder/generator/Concat_3_output_0"
# The export leaves the division by the squared windows out.
LOUDER = 1.5
ROUNDS = 4


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def least(best, measured):
    return [min(pair) for pair in zip(best, measured, strict=True)]


def rate(times, length):
    return " ".join(f"{value / length:7.4f}" for value in times)


with tempfile.TemporaryDirectory() as folder:
    graph = onnx.load(model)
    audio = graph.graph.output[0].name
    graph.graph.output.extend(
        onnx.helper.make_tensor_value_info(tap, onnx.TensorProto.FLOAT, None) for tap in [*TAPS.values(), HAR]
    )
    tapped = os.path.join(folder, "tapped.onnx")
    onnx.save(graph, tapped)
    decoder = os.path.join(folder, "decoder.onnx")
    onnx.utils.extract_model(tapped, decoder, [*TAPS.values(), "style"], [audio, HAR], check_model=False)
    rng = np.random.default_rng(1)
    # A frame of the phonemes of plain speech takes about 3 tokens in 10 frames; the length is set by repetition.
    tokens = np.concatenate([[0], rng.integers(43, 120, 40), [0]])[None].astype(np.int64)
    inputs = {"tokens": tokens, "style": (0.15 * rng.standard_normal((1, 256))).astype(np.float32)}
    inputs["speed"] = np.ones(1, np.float32)
    values = session(tapped, 1).run(list(TAPS.values()), inputs)
    frames = int(seconds * 40)
    features = {}
    for name, value in zip(TAPS, values, strict=True):
        value = value.reshape(value.shape[-2] if name == "asr" else 1, -1)
        wanted = frames if name == "asr" else 2 * frames
        features[name] = np.tile(value, (1, wanted // value.shape[1] + 1))[:, :wanted]
    stored = {name: np.ascontiguousarray(value.T if name == "asr" else value[0]) for name, value in features.items()}
    file = os.path.join(folder, "features.safetensors")
    stored["style"] = np.ascontiguousarray(inputs["style"][0, :128])

    for threads in thread_counts:
        peer = session(decoder, threads)
        asr, f0, energy = (features[name] for name in TAPS)
        shapes = {i.name: len(i.shape) for i in peer.get_inputs()}
        feed = {"style": inputs["style"]}
        for tap, value in zip(TAPS.values(), (asr, f0, energy), strict=True):
            feed[tap] = value.reshape((1,) * (shapes[tap] - 2) + value.shape) if shapes[tap] > 1 else value[0]
        sound, har = peer.run([audio, HAR], feed)
        peer_values = {"peer": sound.reshape(-1) / LOUDER, "har": np.ascontiguousarray(har[0].T)}
        save_file(stored | peer_values, file)
        theirs, ours = [np.inf, np.inf], None
        for _ in range(ROUNDS):
            for _ in range(2):
                start = time.perf_counter(), time.process_time()
                peer.run([audio], feed)
                theirs = least(theirs, [time.perf_counter() - start[0], time.process_time() - start[1]])
            environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
            command = [program, weights, file, "3"]
            run = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
            if ours is None:
                ours = run
                continue
            ours["total"] = least(ours["total"], run["total"])
            ours["stages"] = [[a[0], least(a[1], b[1])] for a, b in zip(ours["stages"], run["stages"], strict=True)]
            for step in ("style_step", "adapter_step"):
                ours[step] = {k: least(v, run[step][k]) for k, v in ours[step].items()}
        length = ours["seconds"]
        print(f"{length:.2f} s of audio, {threads} threads; real-time factors: wall, processor")
        print(f"  signal to noise against onnxruntime: {ours['decibels']:.1f} dB")
        print(f"  onnxruntime    {rate(theirs, length)}")
        print(f"  spinbot        {rate(ours['total'], length)}")
        for name, times in ours["stages"]:
            print(f"    {name:12} {rate(times, length)}")
        for step in ("style_step", "adapter_step"):
            forward, both = ours[step]["forward"], ours[step]["both"]
            print(f"  {step}: forward {forward[0]:.3f} s wall {forward[1]:.3f} s processor, "
                  f"with backward {both[0]:.3f} s wall {both[1]:.3f} s processor")
        print(f"  memory, MB: {ours['megabytes']}")
