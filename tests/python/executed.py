"""The executed tutorials: each made once a test run, then looked at by the tests of several files."""

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import Any

import nbformat

from conftest import ROOT
from play_check import outputs

NOTEBOOKS = ROOT / "notebooks"
TOUR = NOTEBOOKS / "tour.ipynb"
VOICE = NOTEBOOKS / "voice.ipynb"
"""Needs models that are fetched."""
DIRECT = NOTEBOOKS / "direct.ipynb"
"""Needs models that are fetched."""
LORA = NOTEBOOKS / "lora.ipynb"
"""Draws and learns with the model that is built in."""


def executed(notebook: pathlib.Path, *parameters: str) -> pathlib.Path:
    """`notebook` run by `spinbot run` in this `SPINBOT_HOME` with these parameters; an assertion failure shows why not.

    It runs in its own folder, as a reader would run it, and is written where the test run keeps its things.
    """
    out = pathlib.Path(os.environ["SPINBOT_HOME"]) / f"{notebook.stem}.executed.ipynb"
    if not out.exists():
        done = subprocess.run(
            [os.environ["SPINBOT_BIN"], "run", str(notebook), "-o", str(out), *(word for p in parameters for word in ("-p", p))],
            capture_output=True, text=True, timeout=1200, cwd=ROOT,
        )  # fmt: skip
        if done.returncode:
            out.unlink(missing_ok=True)
            raise AssertionError(f"{notebook.name} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return out


def well_executed(notebook: pathlib.Path, out: pathlib.Path) -> list[dict[str, Any]]:
    """Asserts what must hold of every tutorial that ran; returns the mime bundles it shows."""
    book = nbformat.read(out, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]
    assert len(code) >= 3 and all(cell.execution_count for cell in code)
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
    bundles = [bundle for bundle in outputs(out) if any(bundle.values())]
    assert all(b.get("text/plain") for b in bundles), "every output that was not cleared has its plain text"
    assert all(len(b.get("text/html", "")) < 2_000_000 for b in bundles)
    original = nbformat.read(notebook, as_version=4)
    assert not any(cell.get("outputs") for cell in original.cells), "it is committed without outputs"
    return bundles
