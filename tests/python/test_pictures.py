"""`%draw` and `%loras` through the real kernel, engine and worker, with a model of random weights: what they show and leave,
what they refuse, and that each seed is drawn once.
"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import re
import struct
import subprocess
import zlib

import pytest

import tiny_diffusion
from conversation import Cell, Conversation
from engine import Engine
from refusal import refused

PROMPT = "a robot with a red hat"


@pytest.fixture(scope="module")
def studio(spinbot: str, tmp_path_factory: pytest.TempPathFactory, warm: None):
    """A kernel whose cache knows the tiny model as `tiny`, with a LoRA for it in its folder."""
    folder = tmp_path_factory.mktemp("pictures")
    model = tiny_diffusion.write_model(folder / "model")
    cwd = folder / "notebook"
    cwd.mkdir()
    tiny_diffusion.write_lora(cwd / "ink.safetensors")
    tiny_diffusion.write_lora(cwd / "wide.safetensors", width=48)
    added = subprocess.run(
        [spinbot, "models", "add", model, "--as", "tiny"], capture_output=True, text=True, timeout=60
    )
    assert added.returncode == 0, added.stderr
    assert added.stdout == "added tiny\n"
    with Conversation(cwd) as conversation:
        conversation.cwd = cwd
        conversation.model = model
        yield conversation
    listed = pathlib.Path(os.environ["SPINBOT_CACHE"]) / "models" / "added.json"
    kept = [entry for entry in json.loads(listed.read_text()) if entry["id"] != "tiny"]
    listed.write_text(json.dumps(kept))


def texts(png: bytes) -> dict[str, str]:
    """The text chunks of a PNG file, read here after the specification."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    found, at = {}, 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + body),)
        if kind == b"tEXt":
            keyword, text = body.split(b"\0", 1)
            found[keyword.decode("latin-1")] = text.decode("latin-1")
        if kind == b"iTXt":
            keyword, rest = body.split(b"\0", 1)
            _, _, text = rest[2:].split(b"\0", 2)
            found[keyword.decode("latin-1")] = (zlib.decompress(text) if rest[0] else text).decode()
        at += 12 + size
    return found


def size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG file."""
    return struct.unpack(">II", png[16:24])


def picture(studio: Conversation, name: str, at: int = 0) -> bytes:
    """The file of a picture that was left."""
    path = studio.value(f"{name}.pictures()[{at}].path().display().to_string()")
    return pathlib.Path(path.strip('"')).read_bytes()


def html(cell: Cell) -> str:
    """What is shown last."""
    return cell.displays("text/html")[-1]


def test_one_picture_is_shown_as_it_is_and_says_what_it_was_made_of(studio: Conversation):
    cell = studio.run(f'%draw "{PROMPT}" --base tiny --steps 3 --seed 5 --negative "long" --scheduler dpm-2m-karras --as robot')
    assert cell.ok, cell.shown
    png = picture(studio, "robot")
    assert size(png) == (64, 64), "what the model was trained on"
    [shown] = re.findall(r'src="data:image/png;base64,([^"]+)"', html(cell))
    assert base64.b64decode(shown) == png
    said = texts(png)
    assert said["parameters"].startswith(f"{PROMPT}\nNegative prompt: long\nSteps: 3, Sampler: DPM++ 2M, ")
    assert "Seed: 5, Size: 64x64" in said["parameters"]
    plan = json.loads(said["spinbot.plan"])
    assert plan["seed"] == 5 and plan["params"]["prompt"] == PROMPT and plan["model"]["id"] == "tiny"
    assert str(studio.cwd) not in png.decode("latin-1"), "nothing is told of this machine"
    assert studio.run('robot.save("robot.png")?;').ok and (studio.cwd / "robot.png").read_bytes() == png


def test_a_grid_fills_in_and_each_seed_is_drawn_once(studio: Conversation, home: pathlib.Path):
    first = studio.run(f'%draw "{PROMPT}" --base tiny --steps 4 --seeds 3 --as few')
    assert first.ok, first.shown
    pages = [m["content"]["data"].get("text/html", "") for m in first.messages if "data" in m["content"]]
    live = [page for page in pages if "seed 2" in page and "<td " in page]
    assert live and live[0].count("data:image") < 3, "it begins with empty places"
    assert "data:image/jpeg" in html(first) and len(html(first)) < 2_000_000
    before = set(Engine(home).journals())
    more = studio.run(f'%draw "{PROMPT}" --base tiny --steps 4 --seeds 4 --as more')
    assert more.ok and "3 were already there" in html(more), more.shown
    [events] = [events for job, events in Engine(home).journals().items() if job not in before]
    assert sum(event["event"] == "step_cached" for event in events) == 3
    assert [picture(studio, "more", at) for at in range(3)] == [picture(studio, "few", at) for at in range(3)]
    assert len({picture(studio, "more", at) for at in range(4)}) == 4
    assert studio.value("more.pictures().len()") == "4"
    again = studio.run(
        f'let same = spinbot::draw("{PROMPT}").base("tiny").steps(4).seeds(4).run()?;\nsame.grid().unwrap().digest == '
        "more.grid().unwrap().digest"
    )
    assert again.ok and again.result == "true", again.shown


def test_loras_are_taken_in_drawn_with_and_written_for_others(studio: Conversation):
    assert studio.run("%loras nova --import ink.safetensors").ok
    listed = studio.run("%loras")
    assert "nova" in html(listed) and "120" in html(listed) and "kohya" in html(listed)
    plain = studio.run(f'%draw "{PROMPT}" --base tiny --steps 3 --as plain')
    drawn = studio.run(f'%draw "{PROMPT}" --base tiny --steps 3 --lora nova:0.8 --as with_nova')
    none = studio.run(f'%draw "{PROMPT}" --base tiny --steps 3 --lora nova:0 --as without')
    assert plain.ok and drawn.ok and none.ok, drawn.shown
    assert picture(studio, "plain") != picture(studio, "with_nova")
    assert " <lora:nova:0.8>" in texts(picture(studio, "with_nova"))["parameters"]
    exported = studio.run("%loras nova --export nova-diffusers.safetensors --format diffusers --base tiny")
    assert exported.ok, exported.shown
    assert b"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight" in (
        studio.cwd / "nova-diffusers.safetensors"
    ).read_bytes()
    other = studio.run(f'%draw "{PROMPT}" --base tiny --steps 3 --lora nova-diffusers.safetensors:0.8 --as other')
    assert other.ok, other.shown
    assert studio.run("%loras nova --remove").ok
    assert "there is no LoRA `nova`" in refused(studio.run(f'%draw "{PROMPT}" --base tiny --lora nova'))


def test_a_picture_is_redrawn_and_only_where_its_mask_is_white(studio: Conversation):
    assert studio.run(f'%draw "{PROMPT}" --base tiny --steps 3 --as robot').ok
    assert studio.run('robot.save("robot.png")?;').ok
    kept = studio.run('%draw "a long portrait" --base tiny --from robot.png --strength 0 --steps 3 --as kept')
    redrawn = studio.run('%draw "a long portrait" --base tiny --from robot.png --strength 0.9 --steps 3 --as redrawn')
    assert kept.ok and redrawn.ok, redrawn.shown
    assert picture(studio, "kept") != picture(studio, "redrawn")
    masked = studio.run('%draw "a hat" --base tiny --from robot.png --mask robot.png --steps 3')
    assert masked.ok, masked.shown
    assert studio.run('%draw "a hat" --base tiny --size 64x128 --steps 1 --as tall').ok
    assert size(picture(studio, "tall")) == (64, 128)
    assert studio.run('tall.save("tall.png")?;').ok
    error = refused(studio.run('%draw "a hat" --base tiny --from robot.png --mask tall.png'))
    assert "the mask is 64x128 and its picture 64x64" in error and "^" in error


@pytest.mark.parametrize(
    "cell, sentence",
    [
        ('%draw "a hat" --base tiny --lora nobody', "there is no LoRA `nobody`"),
        ('%draw "a hat" --base tiny --lora wide.safetensors', "made for another kind of model"),
        ('%draw "a hat" --base tiny --lora model.ckpt', "pickled weights can run code"),
        ('%draw "a hat" --base tiny --size 65x64', "65x64 is no size that this model draws"),
        ('%draw "a hat" --base tiny --size big', "`big` is no size"),
        ('%draw "a hat" --base dreams', "no model of your own called `dreams`"),
        ('%draw "a hat" --base tiny --seed 1,x', "`x` is no seed"),
        ('%draw "a hat" --base tiny --seed 1,2 --seeds 3', "both --seeds and several seeds"),
        ('%draw "a hat" --base tiny --strength 0.5', "a strength is of a picture to begin from"),
        ('%draw "a hat" --base tiny --mask robot.png', "a mask needs the picture"),
        ('%draw " " --base tiny', "the prompt is empty"),
        ("%%draw\n" + "a red hat and " * 400, "tokens"),
        ("%loras nobody --remove", "there is no LoRA `nobody`"),
        ("%loras ink --import model.ckpt", "pickled weights can run code"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_way_out(studio: Conversation, cell: str, sentence: str):
    (studio.cwd / "model.ckpt").write_bytes(b"PK")
    (studio.cwd / "robot.png").touch()
    assert sentence in refused(studio.run(cell))


def test_a_model_that_changed_is_not_drawn_with(studio: Conversation):
    config = studio.model / "scheduler" / "scheduler_config.json"
    original = config.read_text()
    config.write_text(original + " ")
    try:
        error = refused(studio.run('%draw "a hat" --base tiny --steps 2 --seed 77'))
        assert "the model `tiny` has changed since it was added" in error
    finally:
        config.write_text(original)


def test_drawing_stops_within_a_picture(studio: Conversation):
    running = studio.send('%draw "a hat" --base tiny --steps 200 --size 512x512 --seeds 8 --seed 900')
    seen = []
    while not any("steps" in str(m["content"].get("data", "")) for m in seen):
        seen.append(studio.message(running))
    studio.interrupt()
    cell = studio.finish(running, seen)
    assert not cell.ok and "Interrupted" in str(cell.reply["ename"]), cell.shown
    assert studio.run('%draw "a hat" --base tiny --steps 2').ok, "the next one is drawn"
