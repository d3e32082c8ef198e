"""From a topic to a video, split by stage: `cargo xtask bench topic`.

Renders ten seconds of a bot that is drawn, about a topic, through the real kernel, engine and worker: first with nothing
loaded, then about other topics with the models in memory, so that no step's result is there already. The bot is trained
beforehand by the defaults, from the tutorial's pictures.
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
from collections import defaultdict

import material
from bench_render import frames_of, stages
from conversation import WARMING, Conversation
from engine import Engine

TOPICS = ("why octopuses have three hearts", "how bread rises", "why the sky is blue", "how bees find home")
BOTS = material.FIXTURES.parent.parent / "notebooks" / "media" / "bots" / "robot"


def train(cwd: pathlib.Path) -> None:
    """Trains the bot `beep`."""
    shutil.copytree(BOTS, cwd / "robot")
    with Conversation(cwd, warming=WARMING) as kernel:
        cell = kernel.run("%train_lora robot --as beep", timeout=WARMING)
        if not cell.ok:
            raise SystemExit(cell.error)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--voice", default="af_heart")
    args = parser.parse_args()
    home = pathlib.Path(os.environ["SPINBOT_HOME"])
    cold: dict[str, float] = {}
    warm: dict[str, list[float]] = defaultdict(list)
    lengths = []
    with tempfile.TemporaryDirectory() as folder:
        cwd = pathlib.Path(folder)
        train(cwd)
        # A new engine has nothing loaded.
        Engine(home).ask("shutdown")
        while (home / "run" / "engine.sock").exists():
            time.sleep(0.1)
        print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
        with Conversation(cwd, warming=WARMING) as kernel:
            for number, topic in enumerate(TOPICS):
                start = time.perf_counter()
                line = f'%render "{topic}" --bot beep --voice {args.voice} --seconds {args.seconds} --preset {args.preset}'
                cell = kernel.run(f"{line} --seed {number}", timeout=WARMING)
                wall = time.perf_counter() - start
                if not cell.ok:
                    raise SystemExit(cell.error)
                events = max(Engine(home).journals().values(), key=lambda events: events[0]["at"])
                took = stages(events) | {"cell, seen from the notebook": wall}
                lengths.append(frames_of(events) / 25)
                if number == 0:
                    cold = took
                else:
                    for stage, seconds in took.items():
                        warm[stage].append(seconds)
        print(f"load after: {os.getloadavg()[0]:.2f}")
    print(f"\nvideos of {', '.join(f'{length:.1f}' for length in lengths)} s, preset {args.preset}; the first cold, the others warm")
    print(f"{'stage':32}{'cold s':>10}{'warm median s':>16}")
    for stage, seconds in cold.items():
        print(f"{stage:32}{seconds:>10.2f}{statistics.median(warm[stage]):>16.2f}")
    print(json.dumps({"cold": cold, "warm": warm}))


if __name__ == "__main__":
    main()
