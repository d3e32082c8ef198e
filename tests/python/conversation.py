"""A kernel and one notebook talking to it: cells go in, what a reader would see comes out.

Outputs are folded the way a notebook folds them (streams joined, displays updated in place, outputs cleared),
and the raw messages are kept beside, for tests about their order. What is right is the tests' business.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import time
from typing import Any

import psutil
from jupyter_client import KernelManager
from jupyter_client.blocking.client import BlockingKernelClient

KERNEL = os.environ.get("SPINBOT_TEST_KERNEL", "spinbot")
"""The kernelspec spoken to."""
PATIENCE = 120.0
"""Seconds a cell may take; tells a hang from a slow machine and nothing finer."""
WARMING = 900.0
"""Seconds the very first start on a machine may take: it builds the workspace that cells are compiled in."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def plain(text: str) -> str:
    """The text without terminal colours."""
    return _COLOURS.sub("", text)


@dataclasses.dataclass
class Cell:
    """What became of one cell."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]]
    outputs: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the kernel said it went well."""
        return self.reply["status"] == "ok"

    @property
    def result(self) -> str | None:
        """The plain text of its value."""
        values = [o["data"]["text/plain"] for o in self.outputs if o["type"] == "execute_result"]
        return values[-1] if values else None

    def text(self, stream: str = "stdout") -> str:
        """All it wrote to a stream."""
        return "".join(o["text"] for o in self.outputs if o["type"] == "stream" and o["name"] == stream)

    @property
    def error(self) -> str:
        """The error as shown, without colours; empty when there is none."""
        return "\n".join(
            plain("\n".join(o["traceback"]) or f"{o['ename']}: {o['evalue']}")
            for o in self.outputs
            if o["type"] == "error"
        )

    @property
    def shown(self) -> str:
        """Everything a reader sees as text, in order."""
        parts = []
        for output in self.outputs:
            match output["type"]:
                case "stream":
                    parts.append(output["text"])
                case "error":
                    parts.append(plain("\n".join(output["traceback"])))
                case _:
                    data = output["data"]
                    parts.append(str(data.get("text/plain") or next(iter(data.values()), "")))
        return "".join(parts)

    def displays(self, mime: str = "text/plain") -> list[Any]:
        """The displayed data of one type, as they stand at the end."""
        shown = ("display_data", "execute_result")
        return [o["data"][mime] for o in self.outputs if o["type"] in shown and mime in o["data"]]

    def kinds(self) -> list[str]:
        """The types of the messages, `status` and `execute_input` left out."""
        quiet = ("status", "execute_input")
        return [m["msg_type"] for m in self.messages if m["msg_type"] not in quiet]


class Conversation:
    """One running kernel; a context manager that shuts it down."""

    def __init__(
        self,
        cwd: pathlib.Path | None = None,
        kernel: str = KERNEL,
        warming: float = PATIENCE,
        environment: dict[str, str] | None = None,
    ):
        """`environment` is put over the environment of this process."""
        self.manager = KernelManager(kernel_name=kernel)
        self.manager.start_kernel(cwd=str(cwd) if cwd else None, env=os.environ | (environment or {}))
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self._displays: dict[str, list[dict[str, Any]]] = {}
        try:
            self.client.wait_for_ready(timeout=warming)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Shuts the kernel down, kindly first."""
        self.client.stop_channels()
        self.manager.shutdown_kernel()

    @property
    def process(self) -> psutil.Process:
        """The kernel's process."""
        return psutil.Process(self.manager.provisioner.process.pid)

    def send(self, code: str, **options: Any) -> str:
        """Sends a cell without waiting; returns its id for [`finish`]."""
        return self.client.execute(code, allow_stdin=False, **options)

    def message(self, cell: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next published message that belongs to `cell`."""
        end = time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.01, end - time.monotonic()))
            if message["parent_header"].get("msg_id") == cell:
                return message

    def wait_for(self, cell: str, kind: str, timeout: float = PATIENCE) -> list[dict[str, Any]]:
        """The messages of `cell` up to the first one of type `kind`, that one included."""
        seen = [self.message(cell, timeout)]
        while seen[-1]["msg_type"] != kind:
            seen.append(self.message(cell, timeout))
        return seen

    def finish(self, cell: str, seen: list[dict[str, Any]] = (), timeout: float = PATIENCE) -> Cell:
        """Waits for the cell's end; `seen` are messages already taken by [`wait_for`]."""
        messages = list(seen)
        end = time.monotonic() + timeout
        while True:
            message = self.message(cell, max(0.01, end - time.monotonic()))
            messages.append(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                break
        while True:
            reply = self.client.get_shell_msg(timeout=max(0.01, end - time.monotonic()))
            if reply["parent_header"].get("msg_id") == cell:
                break
        return Cell(reply["content"], messages, self._fold(messages))

    def run(self, code: str, timeout: float = PATIENCE, **options: Any) -> Cell:
        """Runs a cell to its end."""
        return self.finish(self.send(code, **options), timeout=timeout)

    def value(self, code: str) -> str | None:
        """The plain text of a cell's value; an error is an assertion failure that shows it."""
        cell = self.run(code)
        assert cell.ok, f"{code!r} failed:\n{cell.shown}"
        return cell.result

    def is_complete(self, code: str) -> dict[str, Any]:
        """What the kernel says to a half-typed cell."""
        asked = self.client.is_complete(code)
        while True:
            reply = self.client.get_shell_msg(timeout=PATIENCE)
            if reply["parent_header"].get("msg_id") == asked:
                return reply["content"]

    def interrupt(self) -> None:
        """Presses the stop button."""
        self.manager.interrupt_kernel()

    def _fold(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        outputs: list[dict[str, Any]] = []
        clear_next = False
        for message in messages:
            kind, content = message["msg_type"], message["content"]
            if kind == "clear_output":
                if content.get("wait"):
                    clear_next = True
                else:
                    outputs.clear()
                continue
            if kind == "update_display_data":
                for output in self._displays.get(content["transient"]["display_id"], []):
                    output["data"] = content["data"]
                continue
            if kind not in ("stream", "display_data", "execute_result", "error"):
                continue
            if clear_next:
                outputs.clear()
                clear_next = False
            output = {"type": kind, **content}
            last = outputs[-1] if outputs else None
            if kind == "stream" and last and last["type"] == "stream" and last["name"] == content["name"]:
                last["text"] += content["text"]
                continue
            outputs.append(output)
            name = content.get("transient", {}).get("display_id")
            if name:
                self._displays.setdefault(name, []).append(output)
        return outputs
