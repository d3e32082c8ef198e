"""The executed tour notebook: made once a test run, then looked at by the tests of several files."""

from __future__ import annotations

import os
import pathlib
import subprocess

from conftest import ROOT

TOUR = ROOT / "notebooks" / "tour.ipynb"


def executed_tour() -> pathlib.Path:
    """`notebooks/tour.ipynb` run by `spinbot run` in this `SPINBOT_HOME`; an assertion failure shows why not.

    It runs in its own folder, as a reader would run it, and is written where the test run keeps its things.
    """
    out = pathlib.Path(os.environ["SPINBOT_HOME"]) / "tour.executed.ipynb"
    if not out.exists():
        done = subprocess.run(
            [os.environ["SPINBOT_BIN"], "run", str(TOUR), "-o", str(out)],
            capture_output=True, text=True, timeout=1200, cwd=ROOT,
        )  # fmt: skip
        if done.returncode:
            out.unlink(missing_ok=True)
            raise AssertionError(f"the tour ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return out
