"""Speed of a talking portrait, split by stage: `cargo xtask bench render`.

Renders the same photo and clip through the real kernel, engine and worker, every time in a home of its own, so
that no step's result is there already, and reads the stages' times from the job's journal. A small render of
other material goes first: it fetches and loads the models, which are not what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import statistics
import tempfile
import time
import wave
from collections import defaultdict
from typing import Any

import numpy

import material
from conversation import WARMING, Conversation
from engine import Engine


def stages(events: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of every step, from its start to its last output; `done` is the whole job."""
    started: dict[str, float] = {}
    took: dict[str, float] = {}
    for event in events:
        step = event.get("step")
        match event["event"]:
            case "step_started":
                started[step] = event["at"]
            case "artifact" if step in started:
                took[step] = event["at"] - started[step]
            case "step_cached":
                took[step] = 0.0
            case "done":
                took["job"] = event["seconds"]
    return took


def frames_of(events: list[dict[str, Any]]) -> float:
    """Frames drawn: the largest total that any step counts in frames."""
    totals = [event["total"] for event in events if event["event"] == "progress" and event["unit"].startswith("frame")]
    return max(totals, default=0.0)


def ten_seconds(path: pathlib.Path) -> None:
    """A 10 s clip of syllables."""
    rate = 48_000
    material.write_wav(path, numpy.tile(material.speechlike(rate), 2), rate)


def seconds_of(events: list[dict[str, Any]], clip: pathlib.Path) -> float:
    """How long the video is: its frames at 25 a second, or the clip's own length."""
    frames = frames_of(events)
    if frames:
        return frames / 25
    with wave.open(str(clip)) as sound:
        return sound.getnframes() / sound.getframerate()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--portrait", type=pathlib.Path, default=material.FIXTURES / "portraits" / "astronaut.png")
    parser.add_argument("--speech", type=pathlib.Path, help="default: 10 s of syllables made here")
    args = parser.parse_args()
    home = pathlib.Path(os.environ["SPINBOT_HOME"])
    rows: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        cwd = pathlib.Path(folder)
        portrait = cwd / f"portrait{args.portrait.suffix}"
        shutil.copy(args.portrait, portrait)
        clip = cwd / (f"clip{args.speech.suffix}" if args.speech else "clip.wav")
        shutil.copy(args.speech, clip) if args.speech else ten_seconds(clip)
        shutil.copy(material.FIXTURES / "hello.flac", cwd / "other.flac")
        print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
        for repeat in range(args.repeats):
            os.environ["SPINBOT_HOME"] = str(home / str(repeat))
            with Conversation(cwd, warming=WARMING) as kernel:
                for speech, preset in (("other.flac", "draft"), (clip.name, args.preset)):
                    start = time.perf_counter()
                    cell = kernel.run(
                        f"%render --portrait {portrait.name} --speech {speech} --preset {preset}",
                        timeout=WARMING,
                    )
                    wall = time.perf_counter() - start
                    if not cell.ok:
                        raise SystemExit(cell.error)
            events = max(Engine(home / str(repeat)).journals().values(), key=lambda events: events[0]["at"])
            for stage, seconds in stages(events).items():
                rows[stage].append(seconds)
            rows["cell, seen from the notebook"].append(wall)
            rows["frames"].append(frames_of(events))
            rows["length"].append(seconds_of(events, clip))
        print(f"load after: {os.getloadavg()[0]:.2f}")
    frames, length = (statistics.median(rows.pop(name)) for name in ("frames", "length"))
    print(f"\n{frames:.0f} frames, {length:.2f} s of video, preset {args.preset}, {args.repeats} renders")
    print(f"{'stage':32}{'median s':>10}{'min s':>10}{'frames/s':>10}{'x real time':>13}")
    for stage, values in rows.items():
        median = statistics.median(values)
        rates = f"{frames / median:>10.0f}{length / median:>13.2f}" if median > 0.001 else f"{'cached':>10}"
        print(f"{stage:32}{median:>10.2f}{min(values):>10.2f}{rates}")
    print(json.dumps({stage: [round(v, 4) for v in values] for stage, values in rows.items()}))


if __name__ == "__main__":
    main()
