"""`--variant wav2lip` and `%capabilities` through the real kernel, engine and worker; Wav2Lip with random weights."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess

import pytest

import material
from conversation import Conversation
from refusal import refused

WEIGHTS = material.FIXTURES.parent / "reference" / "wav2lip" / "weights.safetensors"
GOOD = "%render --portrait face.png --speech hello.flac --preset draft"


@pytest.fixture(scope="module")
def studio(kernel: Conversation) -> Conversation:
    """The file's kernel, with a picture and a clip in its folder, and no Wav2Lip known."""
    material.lay_out(kernel.cwd)
    yield kernel
    listed = pathlib.Path(os.environ["SPINBOT_CACHE"]) / "models" / "added.json"
    if listed.exists():
        kept = [entry for entry in json.loads(listed.read_text()) if entry["id"] != "lips"]
        listed.write_text(json.dumps(kept))


def manifest(spinbot: str) -> dict[str, dict[str, dict]]:
    """Choices by group and name, as the command line tells them."""
    told = subprocess.run([spinbot, "capabilities", "--json"], capture_output=True, text=True, timeout=60, check=True)
    groups = json.loads(told.stdout)["groups"]
    return {group["name"]: {choice["name"]: choice for choice in group["choices"]} for group in groups}


def test_wav2lip_is_asked_for_brought_and_rendered_with_its_licence_said(studio: Conversation, spinbot: str):
    error = refused(studio.run(GOOD + " --variant wav2lip"))
    for word in ("only you can bring", "non-commercial", "python3 -c", "spinbot models add wav2lip.safetensors"):
        assert word in error, error
    [*_, need] = manifest(spinbot)["variant"]["wav2lip"]["needs"]
    assert need["present"] is False and need["bytes"] > 100e6 and "models add" in need["how"]

    def models_add(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([spinbot, "models", "add", *arguments], capture_output=True, text=True, timeout=60)

    pickle = studio.cwd / "wav2lip_gan.pth"
    pickle.write_bytes(b"PK")
    add = models_add(pickle)
    assert add.returncode != 0 and "can run code" in add.stderr and "state_dict" in add.stderr, add.stderr
    weights = studio.cwd / "mine.safetensors"
    shutil.copy(WEIGHTS, weights)
    add = models_add(weights, "--as", "lips")
    assert add.returncode == 0, add.stderr
    assert add.stdout.startswith("added lips\nfor `%render --variant wav2lip`\n") and "non-commercial" in add.stdout

    cell = studio.run(GOOD + " --variant wav2lip --as lips --seed 120")
    assert cell.ok, cell.shown
    displays = [m for m in cell.messages if m["msg_type"] in ("display_data", "update_display_data")]
    assert any("<img" in m["content"]["data"].get("text/html", "") for m in displays[:-1]), "no first frame was shown"
    html = displays[-1]["content"]["data"]["text/html"]
    assert "<video" in html and "research and non-commercial use only" in html
    assert studio.run("let about: spinbot::provenance::Metadata = lips.metadata()?;").ok
    assert "non-commercial" in studio.value("about.notice.clone()")
    kinds = studio.value("about.provenance.iter().flat_map(|p| &p.steps).map(|s| s.kind.as_str()).collect::<Vec<_>>()")
    assert kinds == '["read_portrait", "read_speech", "drive", "animate_wav2lip"]'

    # The portrait's own render shares what comes before; in Rust it is the same.
    plain = studio.run(GOOD + " --as plain --seed 120")
    assert plain.ok and "read_portrait, read_speech, drive" in plain.displays("text/html")[-1], plain.shown
    rust = studio.run(
        'let by_rust: spinbot::Take = spinbot::render().portrait("face.png").speech("hello.flac").seed(120)'
        ".preset(spinbot::render::Preset::Draft).variant(Variant::Wav2lip).run()?;"
    )
    assert rust.ok, rust.shown
    assert studio.value("by_rust.artifact() == lips.artifact()") == "true"
    assert studio.value("by_rust.artifact() == plain.artifact()") == "false"
    assert studio.value("plain.duration()? == lips.duration()?") == "true"


def test_capabilities_are_the_same_in_a_cell_in_rust_and_on_the_command_line(studio: Conversation, spinbot: str):
    cell = studio.run("%capabilities")
    assert cell.ok, cell.shown
    [told] = cell.displays("application/vnd.spinbot.capabilities+json")
    line = subprocess.run([spinbot, "capabilities", "--json"], capture_output=True, text=True, timeout=60, check=True)
    assert told == json.loads(line.stdout)
    [html] = cell.displays("text/html")
    plain = subprocess.run([spinbot, "capabilities"], capture_output=True, text=True, timeout=60, check=True).stdout
    choices = manifest(spinbot)
    assert set(choices) >= {"variant", "preset", "style", "subtitles", "synthesiser", "llm", "base"}
    for group in choices.values():
        for name in group:
            assert name in html and name in plain, name
    needs = {need["id"]: need for group in choices.values() for one in group.values() for need in one["needs"]}
    for model in ("face-detector", "kokoro", "smollm2", "portraits"):
        assert needs[model]["present"] in (True, False) and needs[model]["bytes"] > 0 and needs[model]["licence"], model
    rust = studio.value('spinbot::capabilities()?.group("variant").unwrap().default.clone()')
    assert rust == '"portrait"'
