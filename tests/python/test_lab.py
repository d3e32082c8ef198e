"""The tutorials in a real JupyterLab: their outputs shown untrusted and trusted, and the tour's cells run live."""

from __future__ import annotations

import pathlib
import re

import pytest

from executed import LORA, NOTEBOOKS, TOUR, VOICE, executed
from lab import Lab
from play_check import outputs

BESIDE = [path for path in NOTEBOOKS.iterdir() if path.suffix != ".ipynb"]
"""What the tutorials read lies beside them."""


@pytest.fixture(scope="module")
def lab(warm):
    """One JupyterLab for the file."""
    with Lab() as lab:
        yield lab


@pytest.mark.parametrize("trusted", [False, True], ids=["untrusted", "trusted"])
@pytest.mark.parametrize("notebook", [TOUR, VOICE], ids=lambda path: path.stem)
def test_an_executed_tutorial_shows_and_plays(lab: Lab, notebook: pathlib.Path, trusted: bool):
    out = executed(notebook)
    lab.open(out, trusted, BESIDE)
    found = lab.media()
    html = "".join(bundle.get("text/html", "") for bundle in outputs(out))
    for tag in ("video", "audio"):
        expected = len(re.findall(rf"<{tag}\b", html))
        assert sum(media["tag"] == tag for media in found) == expected, found
    assert any(media["tag"] == "video" for media in found)
    assert all(media["ok"] for media in found), found


@pytest.mark.parametrize("trusted", [False, True], ids=["untrusted", "trusted"])
def test_the_lora_tutorial_shows_its_pictures(lab: Lab, trusted: bool):
    out = executed(LORA, "steps=4")
    lab.open(out, trusted, BESIDE)
    found = lab.media()
    html = "".join(bundle.get("text/html", "") for bundle in outputs(out))
    shown = len(re.findall(r"<img\b", html))
    # Before and after, its curve, what was learned from, four pictures as one, three with other weights.
    assert shown >= 7 and sum(media["tag"] == "img" for media in found) >= shown, found
    assert all(media["ok"] for media in found), found
    assert "identity" in html and "prompt obeyed" in html


def test_the_tour_runs_live_and_its_video_plays(lab: Lab):
    lab.open(TOUR, True, BESIDE)
    assert not lab.outputs()
    lab.run_all(seconds=600)
    assert not lab.errors()
    videos = [media for media in lab.media() if media["tag"] == "video"]
    assert videos and all(media["ok"] for media in videos), videos
