"""What a long run needs beside its mathematics: one atomic checkpoint, a log, a pid file, and an orderly end on SIGTERM or SIGINT.

SIGSTOP/SIGCONT pause and continue it at any moment; kill -9 loses at most `CHECKPOINT_SECONDS`."""

import json
import os
import signal
import time
from pathlib import Path

import torch

CHECKPOINT_SECONDS = 120
STOPPED = 143  # exit code of a run that was stopped and can go on: what a shell gives for SIGTERM


class Run:
    """A folder with checkpoint.pt, log.jsonl and pid. `plan` is what must not change between a start and a resume."""

    def __init__(self, folder: Path, plan: dict):
        self.folder, self.plan, self.stopping = folder, plan, False
        folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = folder / "checkpoint.pt"
        pid = folder / "pid"
        if pid.exists() and _alive(int(pid.read_text())):
            raise SystemExit(f"a run is already going on in {folder} (process {pid.read_text()})")
        pid.write_text(str(os.getpid()))
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        self.saved = time.monotonic()
        self.cpu_before = 0.0

    def _stop(self, *_):
        self.stopping = True

    def restore(self) -> dict | None:
        """The last checkpoint, or None at a first start."""
        if not self.checkpoint.exists():
            return None
        state = torch.load(self.checkpoint, weights_only=True, mmap=True)
        if state["plan"] != self.plan:
            raise SystemExit(f"{self.checkpoint} was made with other settings:\n  {state['plan']}\nnow:\n  {self.plan}")
        self.cpu_before = state["cpu"]
        # Lines past the checkpoint belong to steps that will be done again.
        log = self.folder / "log.jsonl"
        if log.exists():
            lines = [line for line in log.read_text().splitlines() if json.loads(line)["step"] <= state["step"]]
            log.write_text("".join(f"{line}\n" for line in lines))
        return state

    @property
    def cpu(self) -> float:
        """CPU seconds spent, over all resumes."""
        return self.cpu_before + time.process_time()

    def due(self) -> bool:
        return self.stopping or time.monotonic() - self.saved > CHECKPOINT_SECONDS

    def save(self, step: int, state: dict):
        part = self.checkpoint.with_suffix(".part")
        with open(part, "wb") as f:
            torch.save({"plan": self.plan, "step": step, "cpu": self.cpu, **state}, f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, self.checkpoint)
        self.saved = time.monotonic()

    def log(self, **values):
        with open(self.folder / "log.jsonl", "a") as f:
            f.write(json.dumps({**values, "cpu": round(self.cpu, 1), "time": round(time.time(), 1)}) + "\n")

    def close(self):
        (self.folder / "pid").unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
