"""The tour notebook through `spinbot run`, and what the runner does with notebooks that go wrong.

The executed tour is left in `$SPINBOT_HOME` for the browsers (test_browser.py, test_lab.py).
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import nbformat
import pytest

from executed import TOUR, executed, well_executed

PATIENCE = 900


def run(spinbot: str, notebook: pathlib.Path, *options: str) -> subprocess.CompletedProcess:
    """`spinbot run`, with what it said."""
    command = [spinbot, "run", str(notebook), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)


def notebook(path: pathlib.Path, *cells: str | tuple[str, str]) -> pathlib.Path:
    """A notebook of code cells; a pair is a tag and its cell."""
    made = []
    for cell in cells:
        tag, code = cell if isinstance(cell, tuple) else ("", cell)
        made.append(nbformat.v4.new_code_cell(code, metadata={"tags": [tag]} if tag else {}))
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)
    return path


def test_the_tour_runs_and_ends_with_a_video(warm):
    bundles = well_executed(TOUR, executed(TOUR))
    assert any("<video" in bundle.get("text/html", "") for bundle in bundles)


def test_a_notebook_that_fails_stops_there_says_why_and_exits_with_an_error(warm, spinbot, tmp_path):
    for code, told in (
        ('let x: i32 = "no";', "E0308"),
        ('panic!("boom");', "boom"),
        ("%render --portrait nowhere.png --speech nowhere.wav", "nowhere.png"),
    ):
        book = notebook(tmp_path / "bad.ipynb", 'println!("first");', code, 'println!("never");')
        out = tmp_path / "bad.out.ipynb"
        done = run(spinbot, book, "-o", str(out))
        assert done.returncode not in (0, 101), done.stderr
        assert told in done.stdout + done.stderr
        cells = nbformat.read(out, as_version=4).cells
        assert cells[0].outputs[0].text == "first\n"
        assert cells[1].outputs[-1].output_type == "error"
        assert not cells[2].outputs and cells[2].execution_count is None


def test_parameters_are_put_in_behind_the_cell_that_carries_the_tag(warm, spinbot, tmp_path):
    book = notebook(
        tmp_path / "p.ipynb",
        ("parameters", 'let steps: i32 = 1;\nlet name: String = "a".to_string();'),
        'println!("{steps} {name}");',
    )
    out = tmp_path / "p.out.ipynb"
    done = run(spinbot, book, "-p", "steps=7", "-p", "name=nova", "-o", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    cells = nbformat.read(out, as_version=4).cells
    assert [cell.metadata.get("tags") for cell in cells] == [
        ["parameters"],
        ["injected-parameters"],
        None,
    ] or [cell.metadata.get("tags") or [] for cell in cells] == [["parameters"], ["injected-parameters"], []]
    assert cells[2].outputs[0].text == "7 nova\n"


def test_the_html_of_a_notebook_stands_alone(warm, spinbot, tmp_path):
    book = notebook(tmp_path / "page.ipynb", 'spinbot::display(Html("<b>bold</b>".into()));')
    done = run(spinbot, book, "--html")
    assert done.returncode == 0, done.stdout + done.stderr
    [page] = tmp_path.glob("*.html")
    assert "<b>bold</b>" in page.read_text()


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5}'])
def test_a_file_that_is_no_notebook_is_told_in_a_sentence(spinbot, tmp_path, content):
    path = tmp_path / "broken.ipynb"
    if content is not None:
        path.write_text(content)
    done = run(spinbot, path)
    assert done.returncode not in (0, 101), done.stdout
    assert "broken.ipynb" in done.stderr and "panicked" not in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3, done.stderr


def test_install_writes_a_spec_jupyter_can_read_and_uninstall_removes_it(spinbot, tmp_path):
    for name in ("spinbot", "spinbot-nightly"):
        options = ["--prefix", str(tmp_path), "--name", name]
        subprocess.run([spinbot, "install", *options], check=True, capture_output=True)
        folder = tmp_path / "share" / "jupyter" / "kernels" / name
        spec = json.loads((folder / "kernel.json").read_text())
        assert spec["language"] == "rust" and spec["interrupt_mode"] == "message"
        assert spec["argv"][1] == "kernel" and "{connection_file}" in spec["argv"]
        assert os.path.samefile(spec["argv"][0], spinbot)
        for logo in ("logo-32x32.png", "logo-64x64.png", "logo-svg.svg"):
            assert (folder / logo).stat().st_size > 100
        subprocess.run([spinbot, "uninstall", *options], check=True, capture_output=True)
        assert not folder.exists()
