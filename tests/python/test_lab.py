"""The tour in a real JupyterLab: its outputs shown untrusted and trusted, and its cells run live."""

from __future__ import annotations

import pytest

from lab import Lab
from play_check import outputs
from tour import TOUR, executed_tour

BESIDE = [path for path in TOUR.parent.iterdir() if path.suffix != ".ipynb"]
"""What the tour reads lies beside it."""


@pytest.fixture(scope="module")
def lab(warm):
    """One JupyterLab for the file."""
    with Lab() as lab:
        yield lab


@pytest.mark.parametrize("trusted", [False, True], ids=["untrusted", "trusted"])
def test_the_executed_tour_shows_and_plays(lab: Lab, trusted: bool):
    tour = executed_tour()
    lab.open(tour, trusted, BESIDE)
    found = lab.media()
    expected = sum("<video" in bundle.get("text/html", "") for bundle in outputs(tour))
    assert expected and sum(media["tag"] == "video" for media in found) == expected, found
    assert all(media["ok"] for media in found), found


def test_the_tour_runs_live_and_its_video_plays(lab: Lab):
    lab.open(TOUR, True, BESIDE)
    assert not lab.outputs()
    lab.run_all(seconds=600)
    assert not lab.errors()
    videos = [media for media in lab.media() if media["tag"] == "video"]
    assert videos and all(media["ok"] for media in videos), videos
