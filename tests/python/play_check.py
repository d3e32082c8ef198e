"""Whether the media of a page really decode, play, seek and sound in a real browser.

As a program: `python play_check.py [--browser NAME] FILE...`, where a FILE is an executed notebook, a page, or a
media file. Exit code 1 when anything fails.
"""

from __future__ import annotations

import argparse
import base64
import json
import mimetypes
import pathlib
import re
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import nbformat

from browsers import BROWSERS

SCRIPT = (pathlib.Path(__file__).parent / "play.js").read_text()
FRAME = 1 / 25
"""Seconds a frame of our videos lasts."""
SILENCE = 0.01
"""A peak below this, of 1, is not heard."""


def outputs(notebook: pathlib.Path) -> Iterator[dict[str, Any]]:
    """The mime bundles of an executed notebook, in order."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        for output in cell.get("outputs", []):
            yield output.get("data", {})


def page_of(path: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """A page in `folder` that shows what `path` holds the way a notebook front end would.

    A notebook gives its HTML outputs that carry media, relative links kept relative to the notebook; a media
    file gives one element with a `data:` address; a page is itself.
    """
    if path.suffix == ".html":
        return path
    if path.suffix == ".ipynb":
        bundles = (bundle.get("text/html", "") for bundle in outputs(path))
        body = "\n<hr>\n".join(html for html in bundles if re.search(r"<(video|audio)\b", html))
        base = f'<base href="{path.resolve().parent.as_uri()}/">'
    else:
        kind = mimetypes.guess_type(path)[0] or "video/mp4"
        data = base64.b64encode(path.read_bytes()).decode()
        body = f'<{kind.split("/")[0]} controls src="data:{kind};base64,{data}"></{kind.split("/")[0]}>'
        base = ""
    page = folder / f"{path.stem}.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{base}<body>{body}</body>")
    return page


def play(browser, page: pathlib.Path, seconds: float = 2.0) -> list[dict[str, Any]]:
    """Plays all media of `page` in `browser` for `seconds` each; one report a media element (see play.js)."""
    browser.open(page.resolve().as_uri())
    return browser.evaluate(f"({SCRIPT})({seconds})")


def complaints(report: dict[str, Any], seconds: float = 2.0) -> list[str]:
    """What is wrong with one media element; empty when it plays as it should."""
    if "failure" in report:
        return [report["failure"]]
    wrong = []
    if report["played"] < 0.3 * min(seconds, report["duration"]):
        wrong.append(f"stuck at {report['played']:.2f} s")
    if report["audioPeak"] < SILENCE:
        wrong.append(f"its sound track is silent (peak {report['audioPeak']:.4f})")
    if report["listening"] and report["heard"] < SILENCE:
        wrong.append(f"nothing is heard while it plays (peak {report['heard']:.4f})")
    if abs(report["soughtEnd"] - (report["duration"] - 0.3)) > 0.1:
        wrong.append(f"a seek to 0.3 s before the end landed at {report['soughtEnd']:.2f} s")
    if report["soughtStart"] > 0.1:
        wrong.append(f"a seek to the start landed at {report['soughtStart']:.2f} s")
    if report["tag"] == "video":
        if not report["width"] or not report["height"]:
            wrong.append("it has no picture")
        elif report["contrast"] < 20:
            wrong.append(f"its first picture is blank (contrast {report['contrast']:.0f} of 255)")
        elif report["motion"] < 0.1:
            wrong.append("its first and last pictures are the same")
        if abs(report["audioDuration"] - report["duration"]) > FRAME:
            wrong.append(
                f"sound lasts {report['audioDuration']:.3f} s, picture {report['duration']:.3f} s: over a frame apart"
            )
    return wrong


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", choices=[*BROWSERS, "both"], default="both")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each is played")
    parser.add_argument("--screenshot", type=pathlib.Path, help="where to write the last page's picture")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    failed = False
    for name in BROWSERS if args.browser == "both" else [args.browser]:
        with BROWSERS[name]() as browser, tempfile.TemporaryDirectory() as folder:
            for file in args.files:
                reports = play(browser, page_of(file, pathlib.Path(folder)), args.seconds)
                failed |= not reports
                if not reports:
                    print(f"FAIL {name} {file}: no media")
                for report in reports:
                    wrong = complaints(report, args.seconds)
                    failed |= bool(wrong)
                    print("FAIL" if wrong else "ok", name, file, "; ".join(wrong), json.dumps(report))
            if args.screenshot:
                browser.screenshot(args.screenshot)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
