"""`%render` through the real kernel, engine and worker: what it shows, what it refuses, what it survives."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

import material
from conversation import Conversation
from engine import Engine
from refusal import refused

GOOD = "%render --portrait face.png --speech hello.flac --preset draft"
LONG = "%render --portrait face.png --speech a-minute.wav --preset fine"


@pytest.fixture(scope="module")
def studio(kernel: Conversation) -> Conversation:
    """The file's kernel, with good and bad pictures and clips in its folder."""
    material.lay_out(kernel.cwd)
    return kernel


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("--portrait no-face.png --speech hello.flac", ["no-face.png", "face"]),
        ("--portrait two-faces.png --speech hello.flac", ["two-faces.png", "2 faces|two faces"]),
        ("--portrait one-pixel.png --speech hello.flac", ["one-pixel.png", "1x1|1 x 1"]),
        ("--portrait huge.png --speech hello.flac", ["huge.png", "30000"]),
        ("--portrait text.png --speech hello.flac", ["text.png"]),
        ("--portrait empty.png --speech hello.flac", ["empty.png"]),
        ("--portrait cut.png --speech hello.flac", ["cut.png"]),
        ("--portrait cut.jpg --speech hello.flac", ["cut.jpg"]),
        ("--portrait hello.flac --speech hello.flac", ["hello.flac"]),
        ("--portrait a-folder --speech hello.flac", ["a-folder"]),
        ("--portrait nowhere.png --speech hello.flac", ["nowhere.png"]),
        ("--portrait face.png --speech silent.wav", ["silent.wav", "silent|silence|quiet"]),
        ("--portrait face.png --speech short.wav", ["short.wav", "0.05"]),
        ("--portrait face.png --speech no-samples.wav", ["no-samples.wav"]),
        ("--portrait face.png --speech cut.mp3", ["cut.mp3"]),
        ("--portrait face.png --speech text.wav", ["text.wav"]),
        ("--portrait face.png --speech face.png", ["face.png"]),
        ("--portrait face.png --speech nowhere.wav", ["nowhere.wav"]),
        ("--portrait face.png --speech hello.flac --music silent.wav", ["silent.wav", "silent"]),
        ("--portrait face.png --speech hello.flac --music text.wav", ["text.wav"]),
        ("--portrait face.png --speech hello.flac --subtitles burned", ["--text"]),
        ("--portrait face.png --speech hello.flac --face 10,20", ["10,20", "four points"]),
        ("--portrait face.png --speech hello.flac --face '10,20 40,20 12,40 900,40'", ["900,40", "outside"]),
        ("--portrait face.png", ["speech"]),
        ("--speech hello.flac", ["portrait"]),
        ("--portrait face.png --speech hello.flac --sepia", ["--sepia"]),
        ("--portrait face.png --speech hello.flac --preset huge", ["huge", "draft"]),
        ("--portrait face.png --speech hello.flac --seed -1", ["-1"]),
        ("--portrait face.png --speech hello.flac --seed 99999999999999999999", ["99999999999999999999"]),
    ],
)
def test_a_bad_input_is_one_sentence_with_help_and_the_kernel_goes_on(studio: Conversation, arguments, words):
    error = refused(studio.run(f"%render {arguments}"))
    for word in words:
        assert any(each in error for each in word.split("|")), f"it does not say {word!r}:\n{error}"
    assert studio.value("1 + 1") == "2"


def test_a_face_that_is_not_found_is_placed_by_the_rulers_shown(studio: Conversation):
    line = "%render --portrait no-face.png --speech hello.flac --preset draft"
    cell = studio.run(line)
    assert "--face" in refused(cell)
    assert any("data:image/jpeg" in shown for shown in cell.displays("text/html")), "no rulers were shown"
    cell = studio.run(line + " --face '51,55 77,55 49,79 79,79'")
    assert cell.ok and "<video" in cell.displays("text/html")[-1], cell.shown


def test_a_drawn_face_is_found_without_being_told(studio: Conversation):
    shutil.copy(material.FIXTURES.parent.parent / "notebooks" / "media" / "bots" / "robot" / "0.png", studio.cwd / "robot.png")
    cell = studio.run("%render --portrait robot.png --speech hello.flac --preset draft")
    assert cell.ok and "<video" in cell.displays("text/html")[-1], cell.shown


def test_a_render_shows_a_frame_then_progress_then_the_player_in_one_place(studio: Conversation):
    # A seed of its own: what is in the store already is shown without its first frame.
    cell = studio.run(GOOD + " --as hello --seed 100")
    assert cell.ok, cell.shown
    displays = [m for m in cell.messages if m["msg_type"] in ("display_data", "update_display_data")]
    ids = {m["content"]["transient"].get("display_id") for m in displays}
    assert len(ids) == 1 and None not in ids, "everything is drawn in one place"
    assert displays[0]["msg_type"] == "display_data" and len(displays) >= 2
    assert any("<img" in m["content"]["data"].get("text/html", "") for m in displays[:-1]), "no first frame was shown"
    final = displays[-1]["content"]["data"]
    assert "<video" in final["text/html"] and "controls" in final["text/html"] and "<source" not in final["text/html"]
    assert final["text/plain"]
    assert len(final["text/html"]) < 2_000_000
    assert studio.value("hello.path().exists()") == "true"
    assert studio.run("let also: spinbot::Take = hello.clone();").ok


def test_the_same_render_again_computes_nothing(studio: Conversation, home):
    assert studio.run(GOOD).ok
    before = set(Engine(home).journals())
    assert studio.run(GOOD).ok
    [job] = [events for name, events in Engine(home).journals().items() if name not in before]
    kinds = [event["event"] for event in job]
    assert "step_started" not in kinds and "step_cached" in kinds and kinds[-1] == "done"


def test_rust_renders_what_the_magic_renders(studio: Conversation):
    magic = studio.run(GOOD + " --as by_magic")
    assert magic.ok, magic.shown
    cell = studio.run(
        'let by_rust: spinbot::Take = spinbot::render().portrait("face.png").speech("hello.flac")'
        ".preset(spinbot::render::Preset::Draft).run()?;"
    )
    assert cell.ok and cell.displays(), cell.shown
    assert studio.value("by_rust.artifact() == by_magic.artifact()") == "true"
    shown = studio.run("spinbot::display(Video::file(by_rust.path())?);")
    assert shown.ok and "<video" in shown.displays("text/html")[0], shown.shown
    wrong = studio.run(
        'let take: spinbot::Take = spinbot::render().portrait("no-face.png").speech("hello.flac").run()?;'
    )
    assert not wrong.ok and "no-face.png" in wrong.shown and "help:" in wrong.shown, wrong.shown


def test_a_video_says_that_it_is_synthetic_and_what_it_was_made_of(studio: Conversation, home):
    cell = studio.run(GOOD + " --as told --seed 110")
    assert cell.ok, cell.shown
    assert studio.run("let told_about: spinbot::provenance::Metadata = told.metadata()?;").ok
    assert "synthetic media" in studio.value("told_about.notice.clone()")
    path = pathlib.Path(studio.value("told.path().display().to_string()").strip('"'))
    file = path.read_bytes()
    for private in (str(studio.cwd), str(home), str(pathlib.Path.home()) + "/"):
        assert private.encode() not in file, f"the file names {private}"
    steps = studio.value("told_about.provenance.iter().flat_map(|p| &p.steps).count()")
    assert steps == "4", "all steps before the last are told"
    if shutil.which("ffprobe") is None:
        return
    probe = ["ffprobe", "-v", "error", "-show_format", "-of", "json", str(path)]
    tags = json.loads(subprocess.run(probe, check=True, capture_output=True).stdout)["format"]["tags"]
    assert tags["title"] == "render face.png saying hello.flac"
    assert tags["comment"] == "made with SpinBot; synthetic media: a generated face with a recorded voice"
    plan = json.loads(tags["spinbot.plan"])
    assert plan["digital_source_type"].endswith("/compositeSynthetic")
    assert [step["kind"] for step in plan["steps"]] == ["read_portrait", "read_speech", "drive", "animate"]
    assert plan["steps"][2]["seed"] == 110 and plan["steps"][3]["inputs"]["motion"]["from"] == "drive.motion"
    assert len(plan["steps"][0]["inputs"]["portrait"]["sha256"]) == 64


def test_cards_and_music_make_it_longer_and_not_draw_it_again(studio: Conversation):
    plain = studio.run(GOOD + " --as plain")
    assert plain.ok, plain.shown
    cell = studio.run(GOOD + ' --intro "Hello <you>" --outro "Bye" --music hello.flac --as longer')
    assert cell.ok, cell.shown
    [html] = [html for html in cell.displays("text/html") if "<video" in html]
    assert "read_portrait, read_speech, drive, animate" in html
    lengths = studio.run('println!("{} {}", plain.duration()?, longer.duration()?);')
    short, long = map(float, lengths.text().split())
    assert abs(long - short - 4) < 1e-6, lengths.text()
    assert "--intro" in refused(studio.run(GOOD + ' --intro ""'))


def test_every_journal_is_numbered_monotone_and_ends_once(studio: Conversation, home):
    assert studio.run(GOOD).ok
    journals = Engine(home).journals()
    assert journals
    for job, events in journals.items():
        assert [event["seq"] for event in events] == list(range(len(events))), job
        fractions = [event["fraction"] for event in events if event["event"] == "progress"]
        assert fractions == sorted(fractions) and all(0 <= f <= 1 for f in fractions), job
        ends = [event["event"] for event in events if event["event"] in ("done", "failed", "cancelled")]
        assert len(ends) == 1 and events[-1]["event"] == ends[0], job


def test_a_worker_killed_mid_render_fails_that_job_with_a_sentence_and_the_next_one_works(studio: Conversation, home):
    running = studio.send(LONG + " --seed 101")
    engine = Engine(home)
    worker = engine.worker_at_work()
    os.kill(worker, signal.SIGKILL)
    error = refused(studio.finish(running))
    assert "worker" in error, error
    cell = studio.run(GOOD + " --seed 102")
    assert cell.ok, cell.shown
    assert engine.status()["worker_pid"] != worker


def test_a_long_render_goes_on_from_the_chunks_of_a_worker_that_was_killed(studio: Conversation, home):
    line = "%render --portrait face.png --speech a-minute.wav --preset draft --seed 120"
    running = studio.send(line)
    engine = Engine(home)
    end = time.monotonic() + 120
    while not list(home.glob("kept/*/frames-0")) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(engine.status()["worker_pid"], signal.SIGKILL)
    refused(studio.finish(running))
    cell = studio.run(line)
    assert cell.ok, cell.shown
    newest = max(engine.journals().values(), key=lambda events: events[0]["at"])
    lines = [event["line"] for event in newest if event["event"] == "log"]
    assert any("frames were already drawn" in line for line in lines), lines
    assert not list(home.glob("kept/*/frames-*")), "what was kept goes when it is done"


def test_the_stop_button_cancels_the_job(studio: Conversation, home):
    running = studio.send(LONG + " --seed 103")
    engine = Engine(home)
    engine.worker_at_work()
    seen = studio.wait_for(running, "update_display_data")
    studio.interrupt()
    cell = studio.finish(running, seen, timeout=30)
    assert not cell.ok
    newest = max(engine.journals().values(), key=lambda events: events[0]["at"])
    assert newest[-1]["event"] == "cancelled"
    assert engine.status()["running"] is None
    assert studio.run(GOOD).ok


def test_two_kernels_share_one_engine(studio: Conversation, warm, tmp_path, home):
    assert studio.run(GOOD + " --seed 104").ok
    engine = Engine(home).status()["pid"]
    material.lay_out(tmp_path)
    with Conversation(tmp_path) as second:
        mine, theirs = (k.send(GOOD + f" --seed {seed}") for k, seed in ((studio, 105), (second, 106)))
        assert studio.finish(mine).ok and second.finish(theirs).ok
        assert Engine(home).status()["pid"] == engine
    assert studio.run(GOOD + " --seed 107").ok, "the engine must outlive a kernel"
    assert Engine(home).status()["pid"] == engine


def test_a_killed_engine_is_replaced_at_the_next_render(studio: Conversation, home):
    assert studio.run(GOOD + " --seed 108").ok
    first = Engine(home).status()["pid"]
    os.kill(first, signal.SIGKILL)
    cell = studio.run(GOOD + " --seed 109")
    assert cell.ok, cell.shown
    assert Engine(home).status()["pid"] != first


def test_takes_share_what_they_can_and_one_is_kept_as_a_file(studio: Conversation, home):
    line = '%render --portrait face.png --text "Hello there." --preset draft --takes 2'
    cell = studio.run(line)
    assert cell.ok, cell.error
    grid = cell.displays("text/html")[-1]
    assert grid.count("<video") == 2 and "seed 1" in grid, grid[:500]
    journal = max(Engine(home).journals().values(), key=lambda events: events[0]["at"])
    started = [event["step"] for event in journal if event["event"] == "step_started"]
    assert started.count("speak") == 1 and {"animate", "animate_2"} <= set(started), started
    assert studio.value("takes.len()") == "2"
    kept = studio.run("%keep 2 --as second")
    assert kept.ok, kept.error
    assert studio.value("second.path() == takes.keep(2)?.path()") == "true"
    assert (studio.cwd / "second.mp4").read_bytes()[4:8] == b"ftyp"
    metadata = studio.value("second.metadata()?.provenance.unwrap().steps.len()")
    assert metadata == studio.value("takes.keep(1)?.metadata()?.provenance.unwrap().steps.len()"), metadata
