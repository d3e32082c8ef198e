"""What all tests here share: the kernel they talk to, and a warm workspace before the first of them is timed out.

Run by `cargo xtask test`, which builds the kernel, installs its spec into the virtual environment and sets
`SPINBOT_HOME`, `SPINBOT_CACHE` and `SPINBOT_BIN`.
"""

from __future__ import annotations

import os
import pathlib

import pytest

from conversation import WARMING, Conversation

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_configure(config: pytest.Config) -> None:
    """Refuses to run on the user's own data."""
    for name in ("SPINBOT_HOME", "SPINBOT_CACHE", "SPINBOT_BIN"):
        if not os.environ.get(name):
            raise pytest.UsageError(f"{name} is not set; run these tests with `cargo xtask test`")


@pytest.fixture(scope="session")
def spinbot() -> str:
    """Path of the binary under test."""
    return os.environ["SPINBOT_BIN"]


@pytest.fixture(scope="session")
def home() -> pathlib.Path:
    """`SPINBOT_HOME` of this run."""
    return pathlib.Path(os.environ["SPINBOT_HOME"])


@pytest.fixture(scope="session")
def warm() -> None:
    """One kernel has started and run a cell on this machine."""
    with Conversation(warming=WARMING) as kernel:
        cell = kernel.run("1", timeout=WARMING)
        assert cell.ok, cell.shown


@pytest.fixture(scope="module")
def kernel(warm: None, tmp_path_factory: pytest.TempPathFactory):
    """A kernel for the tests of one file, in a folder of its own (`kernel.cwd`)."""
    cwd = tmp_path_factory.mktemp("notebook")
    with Conversation(cwd) as conversation:
        conversation.cwd = cwd
        yield conversation


@pytest.fixture
def fresh(warm: None, tmp_path: pathlib.Path):
    """A kernel for one test."""
    with Conversation(tmp_path) as conversation:
        conversation.cwd = tmp_path
        yield conversation
