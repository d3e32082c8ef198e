"""The engine as the tests see it: its processes, its answers on the socket, its jobs' journals."""

from __future__ import annotations

import json
import pathlib
import socket
import time
from typing import Any

PROTOCOL = 2


class Engine:
    """The engine of one `SPINBOT_HOME`."""

    def __init__(self, home: pathlib.Path):
        self.home = home
        self.socket = home / "run" / "engine.sock"

    def ask(self, request: str, **fields: Any) -> dict[str, Any]:
        """One request on a connection of its own; the answer, whatever it is."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(str(self.socket))
            lines = connection.makefile("rw", encoding="utf-8", newline="\n")
            for value in (
                {"request": "hello", "protocol": PROTOCOL, "version": "test"},
                {"request": request, **fields},
            ):
                lines.write(json.dumps(value) + "\n")
                lines.flush()
                answer = json.loads(lines.readline())
            return answer

    def status(self) -> dict[str, Any]:
        """What it is and does now."""
        return self.ask("status")["status"]

    def worker_at_work(self, seconds: float = 60) -> int:
        """The process id of the worker, once it is inside a step and has said how far it is.

        A worker that is killed before it begins on a step, or between two, is replaced without a word: a test that
        means to kill a step has to wait for the step to speak.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                status = self.status()
            except (FileNotFoundError, ConnectionRefusedError):
                status = {}
            if status.get("running") and status.get("worker_pid") and self.speaks(status["running"]):
                return status["worker_pid"]
            time.sleep(0.02)
        raise AssertionError(f"no worker came to work within {seconds} s")

    def speaks(self, job: str) -> bool:
        """Whether the job's last event is the progress of a step that is not half done."""
        *_, last = self.journals()[job]
        return last["event"] == "progress" and last["done"] < last["total"] / 2

    def journals(self) -> dict[str, list[dict[str, Any]]]:
        """The events of every job, by job."""
        return {
            path.parent.name: [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted(self.home.glob("jobs/*/journal.jsonl"))
        }
