"""Latency of our kernel beside its peers, measured in the same run: `cargo xtask bench kernel`.

Starts are taken in turn, one of each kernel, so that whatever else the machine does falls on all of them alike.
A cell is timed from sending it to both its reply and its `idle`. Peers: ipykernel from the same environment, and
evcxr_jupyter where `$EVCXR_JUPYTER` names it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import tempfile
import time
from collections import defaultdict

import psutil
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

from conversation import KERNEL, PATIENCE, WARMING, Conversation


@dataclasses.dataclass(frozen=True)
class Language:
    """The cells measured, in one language; `{n}` makes every repetition a new text."""

    cells: dict[str, str]
    keep: str
    kept: str
    loop: str
    answer: str


RUST = Language(
    cells={
        "1 + 1": "1 + {n}",
        "println": 'println!("hello {n}");',
        "struct": "#[derive(Debug, Clone)] struct P{n} {{ x: i32, y: f64 }}",
        "let": "let v{n}: i32 = {n};",
        "compile error": 'let q{n}: i32 = "no";',
    },
    keep="let keep: i32 = 41;",
    kept="keep + 1",
    loop='println!("on"); loop {}',
    answer="1+1",
)
PYTHON = Language(
    cells={
        "1 + 1": "1 + {n}",
        "println": 'print("hello {n}")',
        "struct": "class P{n}:\n    x = 1",
        "let": "v{n} = {n}",
        "compile error": "def f{n}(:",
    },
    keep="keep = 41",
    kept="keep + 1",
    loop='print("on")\nwhile True: pass',
    answer="1+1",
)


class Peer(Conversation):
    """A conversation with any kernel, told by its spec or by its command; started by [`Bench.start`]."""

    def __init__(self, kernel: str | list[str]):
        if isinstance(kernel, str):
            self.manager = KernelManager(kernel_name=kernel)
        else:
            # evcxr_jupyter stops a cell only by a message.
            spec = KernelSpec(argv=kernel, display_name="peer", language="rust", interrupt_mode="message")
            self.manager = type("Manager", (KernelManager,), {"kernel_spec": spec})()
        self._displays = {}
        with open(os.devnull, "wb") as nowhere:
            self.manager.start_kernel(stdout=nowhere, stderr=nowhere)
        self.client = self.manager.client()
        self.client.start_channels()

    def kernel_info(self) -> None:
        """Asks once; the request waits in the socket until the kernel binds."""
        asked = self.client.kernel_info()
        while self.client.get_shell_msg(timeout=PATIENCE)["parent_header"].get("msg_id") != asked:
            pass

    def memory(self) -> float:
        """Proportional memory of the process tree in MB."""
        total = 0
        for process in [self.process, *self.process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total / 1e6


def measure(
    kernel: str | list[str], language: Language, repeats: int, deep: bool, into: dict[str, list[float]]
) -> None:
    """One start of one kernel; with `deep`, its cells and interrupts too. Milliseconds, memory in MB."""

    def since(moment: float) -> float:
        return (time.perf_counter() - moment) * 1e3

    start = time.perf_counter()
    peer = Peer(kernel)
    try:
        peer.kernel_info()
        into["start to kernel_info"].append(since(start))
        peer.client.wait_for_ready(timeout=PATIENCE)
        cell = peer.run(language.answer, timeout=WARMING)
        assert cell.ok, cell.shown
        into["start to first result"].append(since(start))
        if not deep:
            return
        for name, code in language.cells.items():
            for n in range(repeats):
                moment = time.perf_counter()
                peer.run(code.format(n=n))
                into[name].append(since(moment))
        into["memory (MB)"].append(peer.memory())
        for _ in range(3):
            peer.run(language.keep)
            running = peer.send(language.loop)
            seen = peer.wait_for(running, "stream")
            moment = time.perf_counter()
            peer.interrupt()
            peer.finish(running, seen, timeout=30)
            into["interrupt"].append(since(moment))
            moment = time.perf_counter()
            kept = peer.run(language.kept)
            into["cell after interrupt"].append(since(moment))
            into["variable kept (1 = yes)"].append(float(kept.ok))
        moment = time.perf_counter()
    finally:
        moment = time.perf_counter()
        peer.close()
        into["shutdown"].append(since(moment))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5, help="starts of each kernel")
    parser.add_argument("--repeats", type=int, default=9, help="repetitions of each cell")
    parser.add_argument("--json", type=pathlib.Path, help="where to write every single figure")
    args = parser.parse_args()
    kernels: dict[str, tuple[str | list[str], Language]] = {
        "spinbot": (KERNEL, RUST),
        "ipykernel": ("python3", PYTHON),
    }
    if binary := os.environ.get("EVCXR_JUPYTER"):
        kernels["evcxr_jupyter"] = ([binary, "--control_file", "{connection_file}"], RUST)

    figures: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in kernels}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        # The first start of a cache builds the workspace that all later ones copy; it is no figure of a start.
        measure(kernels["spinbot"][0], RUST, 1, False, defaultdict(list))
        print(f"load before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
        for turn in range(args.starts):
            for name, (kernel, language) in kernels.items():
                last = turn == args.starts - 1
                try:
                    measure(kernel, language, args.repeats, last, figures[name])
                except Exception as error:  # a peer that hangs ends its own column only
                    print(f"{name}: {type(error).__name__}: {error}")
        print(f"load after: {os.getloadavg()[0]:.2f}")

    rows = list(figures["spinbot"])
    peers = [name for name in kernels if name != "spinbot"]
    print(
        f"\n{'median (min) in ms':26}"
        + "".join(f"{name:>22}" for name in kernels)
        + "".join(f"{'/ ' + p:>18}" for p in peers)
    )
    for row in rows:
        line = f"{row:26}"
        for name in kernels:
            values = figures[name].get(row)
            line += f"{f'{statistics.median(values):.1f} ({min(values):.1f})' if values else '-':>22}"
        for name in peers:
            values = figures[name].get(row)
            ratio = (
                statistics.median(figures["spinbot"][row]) / statistics.median(values)
                if values and any(values)
                else None
            )
            line += f"{f'{ratio:.2f}' if ratio is not None else '-':>18}"
        print(line)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
