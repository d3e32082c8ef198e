"""`%train_lora` through the real kernel, engine and worker: what it shows and leaves, what it refuses, and that what was learned
is never lost.

The model is a tiny one of random weights: that a face is learned is for the steps' own tests and the bench.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

import picture_material
import tiny_diffusion
from conversation import Cell, Conversation
from engine import Engine
from executed import LORA, executed, well_executed
from refusal import refused

TRAINING = 300.0
"""Seconds a training of a few steps may take before it counts as hanging."""


@pytest.fixture(scope="module")
def base(spinbot: str, kernel: Conversation, tmp_path_factory: pytest.TempPathFactory):
    """The id of the tiny model; the file's kernel has pictures in its folder."""
    picture_material.lay_out(kernel.cwd)
    model = tiny_diffusion.write_model(tmp_path_factory.mktemp("models") / "tiny")
    name = f"tiny-{os.getpid()}"
    added = subprocess.run([spinbot, "models", "add", model, "--as", name], capture_output=True, text=True, timeout=60)
    assert added.returncode == 0, added.stderr
    yield name
    listed = pathlib.Path(os.environ["SPINBOT_CACHE"]) / "models" / "added.json"
    listed.write_text(json.dumps([entry for entry in json.loads(listed.read_text()) if entry["id"] != name]))


def train(kernel: Conversation, base: str, rest: str) -> Cell:
    """Runs `%train_lora` with few steps and without pictures of the model's own."""
    return kernel.run(f"%train_lora {rest} --base {base} --rank 2 --batch 1 --prior 0", timeout=TRAINING)


def until_it_learns(kernel: Conversation, running: str) -> list[dict]:
    """What the kernel says until a loss is shown."""
    seen = []
    while not any("steps" in str(m["content"].get("data", "")) and "loss 0." in str(m["content"]) for m in seen):
        seen.append(kernel.message(running, timeout=TRAINING))
    return seen


def wait_for_state(home: pathlib.Path) -> None:
    """Until the training that runs has kept something."""
    end = time.monotonic() + TRAINING
    while not list(home.glob("kept/*/training.safetensors")):
        assert time.monotonic() < end, "nothing is kept"
        time.sleep(0.05)


def newest(home: pathlib.Path) -> list[dict]:
    """The events of the job that was queued last."""
    return max(Engine(home).journals().values(), key=lambda events: events[0]["at"])


def test_six_pictures_become_a_lora_with_its_curve_and_grid(kernel: Conversation, base: str, home):
    cell = train(kernel, base, 'good/ --as nova --steps 4 --preview-every 2 --preview "nova with a hat"')
    assert cell.ok, cell.shown
    html = cell.displays("text/html")[-1]
    for wanted in ("before and after", "learned from", "rank 2", "5 learned from, 1 kept back", "--lora nova"):
        assert wanted in html, wanted
    assert "<svg" not in html and len(html) < 2_000_000
    assert html.count("data:image/png;base64,") == 2
    text = cell.displays()[-1]
    assert text.startswith('nova: say "nova"; 4 steps on 5 pictures') and "next: %draw" in text, text
    assert float(kernel.value("nova.losses()?.len()")) == 4
    assert kernel.value("nova.trigger().to_string()") == '"nova"'
    path = pathlib.Path(kernel.value("nova.path().display().to_string()").strip('"'))
    assert path == home / "loras" / "nova.safetensors"
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + size])
    metadata = header.pop("__metadata__")
    assert metadata["ss_network_dim"] == "2" and metadata["modelspec.trigger_phrase"] == "nova"
    assert any("to_q.lora" in name for name in header), list(header)[:5]
    identity = home / "loras" / "nova.identity.json"
    assert len(json.loads(identity.read_text())["pictures"]) == 6 and identity.stat().st_mode & 0o777 == 0o600
    assert "identity" not in " ".join(metadata), "a face's numbers are nobody else's"
    previews = [e for e in newest(home) if e["event"] == "preview" and e["name"] == "grid"]
    assert len(previews) >= 2, "it is looked at before, and while it learns"
    losses = [e for e in newest(home) if e["event"] == "metric" and e["name"] == "loss"]
    assert [e["x"] for e in losses] == sorted(e["x"] for e in losses) and losses
    captions = kernel.run('for item in nova.pictures()?.items { println!("{}: {}", item.name, item.caption); }').text()
    assert "0.png: nova, a robot with a red hat" in captions, captions
    assert "1.png: portrait of nova, long hat" in captions, captions
    assert re.search(r"2\.png: a (picture|portrait) of nova", captions), captions


def test_the_lora_notebook_runs_with_the_built_in_model(warm):
    bundles = well_executed(LORA, executed(LORA, "steps=4"))
    html = "".join(bundle.get("text/html", "") for bundle in bundles)
    assert "before and after" in html and html.count("data:image/") >= 6
    assert "4 steps on 5 pictures" in html
    [exported] = [path for path in LORA.parent.iterdir() if path.name == "bot-for-comfyui.safetensors"]
    size = int.from_bytes(exported.read_bytes()[:8], "little")
    names = json.loads(exported.read_bytes()[8 : 8 + size])
    exported.unlink()
    assert any(name.startswith("lora_unet_") and name.endswith("lora_down.weight") for name in names), list(names)[:5]


def test_the_same_cell_again_computes_nothing(kernel: Conversation, base: str, home):
    rest = 'good/ --as nova --steps 4 --preview-every 2 --preview "nova with a hat"'
    cell = train(kernel, base, rest)
    assert cell.ok, cell.shown
    assert "read_pictures, train_lora" in cell.displays("text/html")[-1]
    assert {e["event"] for e in newest(home)} >= {"step_cached", "done"}


def test_a_torn_picture_among_good_ones_is_left_out_and_said(kernel: Conversation, base: str):
    cell = train(kernel, base, "mixed/ --as mixed_2 --steps 1")
    assert cell.ok, cell.shown
    text = cell.displays()[-1]
    for wanted in ("cut.png: ", "text.png: ", "void.png: the file is empty", "left out: 3 of 7"):
        assert wanted in text, text
    assert 'say "ohwx"' in text, "a name with a digit is no word"


def test_one_picture_is_enough(kernel: Conversation, base: str):
    cell = train(kernel, base, "one/face.png --as face --steps 1 --caption-from auto")
    assert cell.ok, cell.shown
    assert "one picture alone" in cell.displays()[-1]
    caption = kernel.value("face.pictures()?.items[0].caption.clone()")
    assert caption.startswith('"a portrait of face'), caption
    assert kernel.value("face.pictures()?.items[0].face.is_some()") == "true"


def test_a_stopped_training_goes_on_where_it_was_stopped(kernel: Conversation, base: str, home):
    line = f"%train_lora good/ --as late --base {base} --rank 2 --batch 1 --prior 0 --steps 400 --seed 5"
    line += " --preview-every 0"
    running = kernel.send(line)
    seen = until_it_learns(kernel, running)
    kernel.interrupt()
    cell = kernel.finish(running, seen, timeout=60)
    assert not cell.ok
    assert newest(home)[-1]["event"] == "cancelled"
    assert not (home / "loras" / "late.safetensors").exists()
    cell = kernel.run(line, timeout=2 * TRAINING)
    assert cell.ok, cell.shown
    assert float(kernel.value("late.report()?.resumed_at")) > 0
    assert float(kernel.value("late.losses()?.len()")) == 400


@pytest.mark.parametrize("victim", ["worker", "engine"])
def test_a_training_whose_process_is_killed_goes_on_from_what_was_kept(kernel: Conversation, base: str, home, victim: str):
    line = f"%train_lora good/ --base {base} --rank 2 --batch 1 --prior 0 --steps 300 --seed 6"
    line += " --preview-every 0 --save-every 10 --trigger nova"
    running = kernel.send(f"{line} --as {victim}")
    engine = Engine(home)
    worker = engine.worker_at_work(TRAINING)
    seen = until_it_learns(kernel, running)
    wait_for_state(home)
    os.kill(worker if victim == "worker" else engine.status()["pid"], signal.SIGKILL)
    error = refused(kernel.finish(running, seen, timeout=60))
    assert victim in error, error
    assert not (home / "loras" / f"{victim}.safetensors").exists()
    cell = kernel.run(f"{line} --as {victim}", timeout=2 * TRAINING)
    assert cell.ok, cell.shown
    resumed = float(kernel.value(f"{victim}.report()?.resumed_at"))
    assert resumed > 0 and resumed % 10 == 0
    # As one that was never killed, bit for bit.
    if not (home / "loras" / "whole.safetensors").exists():
        cell = kernel.run(f"{line} --as whole", timeout=2 * TRAINING)
        assert cell.ok, cell.shown
    assert kernel.value(f"{victim}.losses()? == whole.losses()?") == "true"


def test_a_disk_that_is_full_at_a_checkpoint_costs_what_is_kept_and_no_more(spinbot: str, base: str, tmp_path):
    home = tmp_path / "home"
    picture_material.lay_out(tmp_path)
    line = f"%train_lora good/ --as full --base {base} --rank 2 --batch 1 --prior 0 --steps 4 --save-every 2"
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": line}
    kernelspec = {"name": "spinbot", "display_name": "SpinBot", "language": "rust"}
    notebook = {"cells": [cell], "metadata": {"kernelspec": kernelspec}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "full.ipynb").write_text(json.dumps(notebook))
    script = 'mkdir -p "$1/kept" && mount -t tmpfs -o size=16k none "$1/kept" || exit 77; cd "$3" && "$2" run full.ipynb -o out.ipynb; '
    script += 'code=$?; "$2" engine --stop; exit $code'
    ran = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "-", home, spinbot, tmp_path],
        env={**os.environ, "SPINBOT_HOME": str(home)}, capture_output=True, text=True, timeout=2 * TRAINING,
    )
    if ran.returncode == 77 or "unshare" in ran.stderr:
        pytest.skip(f"this system lets nobody mount a small disk: {ran.stderr.strip()}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (home / "loras" / "full.safetensors").exists()
    shown = str(json.loads((tmp_path / "out.ipynb").read_text())["cells"][0]["outputs"])
    assert "could not be kept, and training goes on" in shown and "No space left on device" in shown, shown


def test_what_cannot_be_is_refused_before_anything_runs(kernel: Conversation, base: str, home):
    before = len(Engine(home).journals())
    for rest, wanted in [
        (f"none/ --as nova --base {base}", "there is no picture in this folder"),
        (f"good/*.gif --as nova --base {base}", "this matches no file"),
        ("good/ --as nova --base dreams", "there is no model of your own called `dreams`"),
        (f"good/ --base {base}", "needs --as"),
        (f"good/ --as nova --base {base} --trigger (nova:1.2)", "cannot be a trigger word"),
        (f"good/ --as nova --base {base} --steps 0", "need 1..=100000"),
    ]:
        error = refused(kernel.run(f"%train_lora {rest}"))
        assert wanted in error and "^" in error, error
    assert len(Engine(home).journals()) == before
    for rest, wanted in [
        ("mixed/text.png", "mixed/text.png: "),
        ("nowhere.png", "there is no such file"),
        ("mixed/void.png", "the file is empty"),
    ]:
        error = refused(kernel.run(f"%train_lora {rest} --as nova --base {base}", timeout=TRAINING))
        assert wanted in error and "^" in error, error


def test_a_dry_run_shows_both_steps(kernel: Conversation, base: str, home):
    before = len(Engine(home).journals())
    cell = kernel.run(f"%train_lora good/ --as nova --base {base} --dry-run")
    assert cell.ok and "read_pictures" in cell.shown and f"the model {base}" in cell.shown, cell.shown
    assert len(Engine(home).journals()) == before


def test_rust_does_what_the_magic_does(kernel: Conversation, base: str):
    cell = kernel.run(
        f'let rusty = spinbot::train_lora("good/").name("rusty").base("{base}").rank(2).batch(1).prior(0.0).steps(2).run()?;\n'
        'println!("{}", rusty.summary()?);',
        timeout=TRAINING,
    )
    assert cell.ok, cell.shown
    assert 'say "rusty"; 2 steps on 5 pictures' in cell.text(), cell.text()
