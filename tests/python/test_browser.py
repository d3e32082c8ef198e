"""The executed tutorials' media in Chromium and Firefox: decoded, played, sought, heard."""

from __future__ import annotations

import pathlib

import pytest

from browsers import BROWSERS
from executed import TOUR, VOICE, executed
from play_check import complaints, page_of, play


@pytest.fixture(params=BROWSERS, scope="module")
def browser(request: pytest.FixtureRequest):
    """Each browser in turn."""
    with BROWSERS[request.param]() as browser:
        yield browser


@pytest.mark.parametrize("notebook", [TOUR, VOICE], ids=lambda path: path.stem)
def test_a_tutorial_decodes_plays_seeks_and_sounds(warm, browser, notebook: pathlib.Path, tmp_path: pathlib.Path):
    reports = play(browser, page_of(executed(notebook), tmp_path))
    assert any(report["tag"] == "video" for report in reports)
    for report in reports:
        assert not complaints(report), f"{browser.name}: {complaints(report)}\n{report}"


def test_a_broken_video_does_not_pass_for_a_good_one(browser, tmp_path: pathlib.Path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0\0\0\x18ftypisom" + bytes(2000))
    [report] = play(browser, page_of(broken, tmp_path))
    assert complaints(report)
