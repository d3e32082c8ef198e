"""How like their speakers clones are, by judges that are not SpinBot's: `cargo xtask bench voice`.

The first recordings of every speaker are given to `%clone_voice` through a real kernel; the others it never sees.
The nearest stock voice, the clone and the clone with adapters then say sentences that cloning does not use, and the
judges (judges.py) compare them with the recordings kept back here. A folder of recordings may hold a folder for each
speaker, or files named as LibriSpeech names them, SPEAKER-CHAPTER-NUMBER.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import struct
import tempfile
import time
from collections import defaultdict
from typing import Any

import psutil

from conversation import WARMING, Conversation
from engine import Engine
from judges import Judges

SOUNDS = {".flac", ".wav", ".mp3", ".ogg"}
# Harvard sentences (IEEE 1969) other than those the search says or scores by, and two of a notebook's.
SENTENCES = [
    "The boy was there when the sun rose.",
    "A rod is used to catch pink salmon.",
    "The small pup gnawed a hole in the sock.",
    "The fish twisted and turned on the bent hook.",
    "Press the pants and sew a button on the vest.",
    "The swan dive was far short of perfect.",
    "The beauty of the view stunned the young boy.",
    "Her purse was full of useless trash.",
    "I cannot run that cell because the variable is not defined yet.",
    "The kernel restarted and your notebook has unsaved changes.",
]
# The tutorial's own recordings.
CLIPS = pathlib.Path(__file__).resolve().parent.parent.parent / "notebooks" / "media" / "voices"
# Most recordings given to the cloning.
GIVEN = 5
PATIENCE = 1800.0
KINDS = ("stock", "clone", "finetune")
ROWS = {
    "ge2e": "GE2E to held-out speech",
    "second": "second encoder",
    "word_error": "word error",
    "quality": "DNSMOS OVRL",
    "first": "right speaker first",
    "seconds": "wall seconds",
    "processor": "processor seconds",
    "megabytes": "peak MB of the worker",
    "own_ge2e": "GE2E, SpinBot's own figure",
    "own_second": "second encoder, own",
    "own_word_error": "word error, own",
    "own_quality": "DNSMOS OVRL, own",
}
# What the means are held against: at least, or at most.
BARS = {
    "clone": {"ge2e": (">=", 0.84), "second": (">=", 0.72), "word_error": ("<=", 0.12), "seconds": ("<=", 90)},
    "finetune": {"ge2e": (">=", 0.88), "second": (">=", 0.82), "word_error": ("<=", 0.12), "seconds": ("<=", 300)},
}
QUALITY_LOST = 0.15


def speakers_in(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """The recordings of every speaker who has two or more, in the order of their names."""
    found: dict[str, list[pathlib.Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SOUNDS:
            name = path.stem.split("-")[0] if path.parent == folder else path.parent.name
            found[name].append(path)
    return {name: clips for name, clips in found.items() if len(clips) > 1}


def record_of(profile: pathlib.Path) -> dict[str, Any]:
    """What a profile says of itself: JSON in the metadata of a safetensors file."""
    with profile.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(json.loads(file.read(length))["__metadata__"]["spinbot.profile"])


def run(kernel: Conversation, code: str) -> float:
    """Wall seconds of a cell, which must go well."""
    start = time.perf_counter()
    cell = kernel.run(code, timeout=PATIENCE)
    if not cell.ok:
        raise SystemExit(f"{code}\n{cell.error}")
    return time.perf_counter() - start


def peak_megabytes(engine: Engine) -> float:
    """The most memory the worker has held since it was last asked."""
    process = pathlib.Path("/proc") / str(engine.status()["worker_pid"])
    peak = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
    assert peak, "the kernel tells the peak of every process"
    (process / "clear_refs").write_text("5")
    return int(peak[1]) / 1000


def processor_seconds(engine: Engine) -> float:
    """What the worker has computed so far; 0 when there is none."""
    pid = engine.status()["worker_pid"] if engine.socket.exists() else None
    return sum(psutil.Process(pid).cpu_times()[:2]) if pid else 0.0


def spoken(kernel: Conversation, engine: Engine, voice: str) -> list[pathlib.Path]:
    """The sentences as that voice says them: files of the store."""
    files = []
    for sentence in SENTENCES:
        run(kernel, f'%speak "{sentence}" --voice {voice}')
        events = max(engine.journals().values(), key=lambda events: events[0]["at"])
        files.append(pathlib.Path(events[-1]["result"]["path"]))
    return files


class Bench:
    """The kernel that clones and speaks, and the judges."""

    def __init__(self, kernel: Conversation, engine: Engine, speakers: dict[str, list[pathlib.Path]], keep: Any):
        self.kernel, self.engine, self.keep, self.judges = kernel, engine, keep, Judges()
        self.given = {name: clips[: max(1, min(GIVEN, round(len(clips) * 2 / 3)))] for name, clips in speakers.items()}
        self.held_out = {name: clips[len(self.given[name]) :] for name, clips in speakers.items()}
        read = self.judges.read
        self.centroids = {n: self.judges.centroid(read(clip) for clip in clips) for n, clips in self.held_out.items()}

    def likeness(self, speaker: str, recordings: list[Any]) -> dict[str, Any]:
        """How near a voice is to the speaker's held-out speech, and whether no other speaker is nearer."""
        voice = self.judges.voice(recordings)
        out: dict[str, Any] = {"first": []}
        for encoder, print_ in voice.items():
            near = {name: float(print_ @ centroid[encoder]) for name, centroid in self.centroids.items()}
            out[encoder] = near[speaker]
            out["first"].append(max(near, key=near.__getitem__) == speaker)
        return out

    def judged(self, speaker: str, voice: str) -> dict[str, Any]:
        """One voice saying the sentences."""
        files = spoken(self.kernel, self.engine, voice)
        if self.keep:
            for n, file in enumerate(files):
                shutil.copy(file, self.keep / f"{speaker}-{voice}-{n}.wav")
        recordings = [self.judges.read(file) for file in files]
        out = self.likeness(speaker, recordings)
        out["word_error"] = self.judges.word_error(SENTENCES, recordings)
        out["quality"] = self.judges.quality(recordings)
        return out

    def speaker(self, name: str, finetune: bool) -> dict[str, Any]:
        """All of one speaker."""
        out: dict[str, Any] = {"given": len(self.given[name]), "held_out": len(self.held_out[name])}
        clips = " ".join(f'"{clip}"' for clip in self.given[name])
        for kind in KINDS[1:] if finetune else KINDS[1:2]:
            profile = re.sub(r"\W", "_", f"{kind}_of_{name}")
            options = "--finetune" if kind == "finetune" else ""
            before = processor_seconds(self.engine)
            seconds = run(self.kernel, f'%clone_voice {clips} --consent "a public recording" --as {profile} {options}')
            processor = processor_seconds(self.engine) - before
            megabytes = peak_megabytes(self.engine)
            own = record_of(self.engine.home / "voices" / f"{profile}.safetensors")["scores"]
            last = [stage for stage in own["stages"] if stage["kept"]][-1]
            if "stock" not in out:
                out["base"] = own["base"]
                out["stock"] = self.judged(name, own["base"])
            out[kind] = self.judged(name, profile) | {
                "seconds": seconds,
                "processor": processor,
                "megabytes": megabytes,
                "own_ge2e": own["ge2e"]["clone"],
                "own_second": own["dvector"]["clone"],
                "own_word_error": last["word_error"],
                "own_quality": last["dnsmos"],
                "stages": own["stages"],
                "warnings": own["warnings"],
            }
            out["stock"] |= {
                "own_ge2e": own["ge2e"]["nearest_stock"],
                "own_second": own["dvector"]["nearest_stock"],
                "own_word_error": own["stages"][0]["word_error"],
                "own_quality": own["stages"][0]["dnsmos"],
            }
        out["speaker"] = self.likeness(name, [self.judges.read(clip) for clip in self.given[name]])
        return out


def shown(value: Any) -> str:
    """A value as the tables show it."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "/".join("yes" if yes else "NO" for yes in value)
    return f"{value:.0f}" if value > 10 else f"{value:.3f}"


def table(rows: dict[str, str], columns: dict[str, dict[str, Any]]) -> None:
    """Prints rows of values, a column each for what is compared."""
    print(f"  {'':28}" + "".join(f"{name:>14}" for name in columns))
    for row, title in rows.items():
        if any(row in column for column in columns.values()):
            print(f"  {title:28}" + "".join(f"{shown(column.get(row)):>14}" for column in columns.values()))


def print_speaker(name: str, result: dict[str, Any]) -> None:
    """One speaker's table, and what each stage was worth to SpinBot."""
    print(f"\n{name}: {result['given']} recordings given, {result['held_out']} held out")
    titles = {"stock": result["base"], "clone": "clone", "finetune": "finetuned", "speaker": "speaker"}
    table(ROWS, {title: result[kind] for kind, title in titles.items() if kind in result})
    for kind in KINDS[1:]:
        for stage in result.get(kind, {}).get("stages", []):
            kept = "kept" if stage["kept"] else "not kept"
            print(
                f"    {kind}, {stage['stage']}: {kept} ({stage['why']}); GE2E {stage['ge2e']:.3f}, second "
                f"{stage['dvector']:.3f}, word error {stage['word_error']:.3f}, DNSMOS {stage['dnsmos']:.2f}, "
                f"{stage['seconds']:.1f} s"
            )
        for warning in result.get(kind, {}).get("warnings", []):
            print(f"    {kind}: {warning}")


def mean(values: list[Any]) -> Any:
    """The mean of numbers; of yes and no, whether all are yes."""
    if isinstance(values[0], list):
        return [all(each) for each in zip(*values, strict=True)]
    return sum(values) / len(values)


def print_means(results: dict[str, dict[str, Any]], alone: bool) -> dict[str, Any]:
    """The means beside the bars; returned as well."""
    means: dict[str, Any] = {}
    for kind in (*KINDS, "speaker"):
        columns = [result[kind] for result in results.values() if kind in result]
        if columns:
            means[kind] = {row: mean([c[row] for c in columns]) for row in ROWS if all(row in c for c in columns)}
    print(f"\nmeans of {len(results)} speakers")
    table(ROWS, means)
    print("\nwhat must hold")

    def say(kind: str, what: str, holds: bool) -> None:
        print(f"  {kind:10}{what:58}{'holds' if holds else 'MISSED'}")

    for kind, bars in BARS.items():
        if kind not in means:
            continue
        for row, (sign, bar) in bars.items():
            value = means[kind][row]
            say(kind, f"{ROWS[row]} {shown(value)} {sign} {bar}", value >= bar if sign == ">=" else value <= bar)
        least = means["stock"]["quality"] - QUALITY_LOST
        quality = means[kind]["quality"]
        say(
            kind,
            f"{ROWS['quality']} {quality:.3f} >= {least:.3f}, the stock voices' less {QUALITY_LOST}",
            quality >= least,
        )
        if alone:
            print(f"  {kind:10}right speaker first: only one speaker, nothing to tell apart")
        else:
            say(kind, "right speaker first by both encoders", all(means[kind]["first"]))
        worse = [n for n, r in results.items() if any(r[kind][e] < r["stock"][e] for e in ("ge2e", "second"))]
        say(kind, f"no speaker is worse off than with the stock voice {' '.join(worse)}", not worse)
    print("\nSpinBot's own figures beside the judges': mean difference, largest distance")
    for row in ("ge2e", "second", "word_error", "quality"):
        apart = [r[k][f"own_{row}"] - r[k][row] for r in results.values() for k in KINDS if k in r]
        print(f"  {ROWS[row]:28}{sum(apart) / len(apart):>+10.3f}{max(abs(a) for a in apart):>10.3f}")
    return means


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voices", type=pathlib.Path, default=CLIPS)
    parser.add_argument("--speakers", nargs="+", help="only these; all are still told apart")
    parser.add_argument("--no-finetune", action="store_true", help="leave the adapters out")
    parser.add_argument("--json", type=pathlib.Path, help="also write everything to this file")
    parser.add_argument("--keep", type=pathlib.Path, help="keep what was said in this folder")
    args = parser.parse_args()
    speakers = speakers_in(args.voices)
    if not speakers:
        raise SystemExit(f"{args.voices}: no speaker with two recordings or more")
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        cwd = pathlib.Path(folder)
        local = {}
        for name, clips in speakers.items():
            (cwd / name).mkdir()
            local[name] = [pathlib.Path(shutil.copy(clip, cwd / name)).relative_to(cwd) for clip in clips]
        home = pathlib.Path(os.environ["SPINBOT_HOME"])
        with Conversation(cwd, warming=WARMING) as kernel, contextlib.chdir(cwd):
            run(kernel, "1")
            bench = Bench(kernel, Engine(home), local, args.keep and args.keep.resolve())
            for name in args.speakers or speakers:
                results[name] = bench.speaker(name, not args.no_finetune)
                print_speaker(name, results[name])
                print(f"    load now: {os.getloadavg()[0]:.2f}", flush=True)
    means = print_means(results, len(speakers) == 1)
    if args.json:
        args.json.write_text(json.dumps({"speakers": results, "means": means}, indent=1) + "\n")


if __name__ == "__main__":
    main()
