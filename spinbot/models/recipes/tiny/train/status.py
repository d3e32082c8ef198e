"""Prints where a run is.  usage: status.py RUN"""

import json
import sys
import time
from pathlib import Path

import torch

folder = Path(sys.argv[1])
lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] if (folder / "log.jsonl").exists() else []
pid = (folder / "pid").read_text() if (folder / "pid").exists() else None
state = "stopped"
if pid and Path(f"/proc/{pid}").exists():
    state = f"running (process {pid}, {Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]})"
print(f"{folder.name}: {state}")
if (folder / "checkpoint.pt").exists():
    saved = torch.load(folder / "checkpoint.pt", weights_only=True, mmap=True)
    age = time.time() - (folder / "checkpoint.pt").stat().st_mtime
    print(f"checkpoint: step {saved['step']} of {saved['plan']['steps']}, {age:.0f} s old, {saved['cpu'] / 60:.1f} CPU minutes; plan {saved['plan']}")
training = [l for l in lines if "loss" in l]
if training:
    last, total = training[-1], saved["plan"]["steps"] if (folder / "checkpoint.pt").exists() else None
    recent = training[-9:]
    wall = (recent[-1]["time"] - recent[0]["time"]) / max(1, recent[-1]["step"] - recent[0]["step"])
    print(f"step {last['step']}: loss {last['loss']}, {last['seconds']} CPU s/step, {wall:.2f} s/step lately by the clock", end="")
    print(f", {(total - last['step']) * wall / 3600:.1f} h to go at that rate" if total else "")
for line in [l for l in lines if "loss" not in l][-8:]:
    print("  " + ", ".join(f"{k} {v}" for k, v in line.items() if k not in ("time", "cpu")))
