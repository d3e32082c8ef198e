"""`%speak`, `%listen`, `%clone_voice`, `%voices` and `%render --text` through the real kernel, engine and worker: what
they show and leave, what they refuse, and that a voice belongs to who agreed.

The models are those of `SPINBOT_CACHE`. What a voice is worth in figures is measured by `cargo xtask bench voice`.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

import voice_material
from conversation import PATIENCE, Cell, Conversation
from engine import Engine
from executed import VOICE, executed, well_executed
from material import FIXTURES
from refusal import refused

SENTENCE = "The quick brown fox jumps over the lazy dog, and the train leaves for London at seven in the morning."
CLONING = 600.0
"""Seconds a clone may take before it counts as hanging; about one minute on two cores of its own."""


@pytest.fixture(scope="module")
def studio(kernel: Conversation) -> Conversation:
    """The file's kernel, with good and bad recordings in its folder."""
    voice_material.lay_out(kernel)
    return kernel


def heard_words(text: str) -> list[str]:
    """Words as speech recognition is scored on: small letters and apostrophes, nothing else."""
    return re.sub(r"[^a-z' ]", " ", text.lower().replace("\u2019", "'")).split()


def word_error(said: str, heard: str) -> float:
    """Levenshtein distance in words over the number of words said."""
    want, got = heard_words(said), heard_words(heard)
    row = list(range(len(got) + 1))
    for i, word in enumerate(want, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1] / len(want)


def spoken_words(studio: Conversation, name: str) -> list[tuple[str, float, float, str]]:
    """`name.words()`: text, beginning, end, phonemes."""
    cell = studio.run(
        f"for word in {name}.words()? {{\n"
        '    println!("{}\\t{}\\t{}\\t{}", word.text, word.start, word.end, word.phonemes);\n}'
    )
    assert cell.ok, cell.shown
    lines = [line.split("\t") for line in cell.text().splitlines()]
    return [(text, float(start), float(end), phonemes) for text, start, end, phonemes in lines]


def path_of(studio: Conversation, name: str) -> pathlib.Path:
    """Where what a magic left lies."""
    value = studio.value(f"{name}.path().display().to_string()")
    return pathlib.Path(value.strip('"'))


def new_journal(home: pathlib.Path, before: set[str]) -> list[dict]:
    """The events of the one job that was not there before."""
    [events] = [events for job, events in Engine(home).journals().items() if job not in before]
    return events


def profile_files(home: pathlib.Path) -> list[str]:
    """The names of the files in the folder of profiles."""
    return sorted(path.name for path in (home / "voices").glob("*"))


def test_the_voice_notebook_runs_and_ends_with_a_video(warm):
    bundles = well_executed(VOICE, executed(VOICE))
    html = "".join(bundle.get("text/html", "") for bundle in bundles)
    assert html.count("<audio") >= 6 and html.count("<video") >= 1
    assert "This voice is synthetic." in html, "the clone's card is shown"


def test_speech_has_a_player_a_waveform_and_the_time_of_every_word(studio: Conversation):
    cell = studio.run(f'%speak "{SENTENCE}" --as fox')
    assert cell.ok, cell.shown
    [html] = [html for html in cell.displays("text/html") if "<audio" in html]
    assert "controls" in html and "autoplay" not in html and "<source" not in html
    assert "image/svg+xml" in html and "WEBVTT" in html
    assert any(text.startswith("fox: ") for text in cell.displays())
    duration = float(studio.value("fox.duration()?"))
    words = spoken_words(studio, "fox")
    assert [text for text, *_ in words] == SENTENCE.split()
    assert all(phonemes for *_, phonemes in words)
    times = [time for _, start, end, _ in words for time in (start, end)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= duration + 1e-9, times
    assert all(end > start for _, start, end, _ in words)
    assert 4 < duration < 12
    vtt = studio.value("fox.subtitles()?.lines().count()")
    assert int(vtt) >= 3


def test_speech_says_what_was_typed(studio: Conversation):
    said = studio.run(f'%speak "{SENTENCE}" --as fox')
    assert said.ok, said.shown
    cell = studio.run(f"%listen {path_of(studio, 'fox')} --as back")
    assert cell.ok, cell.shown
    transcript = studio.run('println!("{}", back.transcript);').text()
    assert word_error(SENTENCE, transcript) <= 0.15, transcript
    assert "fox" in cell.displays("text/html")[-1]
    assert studio.value("back.nearest[0].voice.clone()") == '"af_heart"', cell.shown
    assert float(studio.value("back.dnsmos.overall")) > 2.5
    assert studio.value("back.speakers") == "1"


@pytest.mark.parametrize("name, magic", [("wav", b"RIFF"), ("flac", b"fLaC"), ("mp3", b"\xff\xfb")])
def test_speech_is_left_in_the_format_asked_for(studio: Conversation, name: str, magic: bytes):
    cell = studio.run(f'%speak "Good morning, Nova." --format {name} --as morning')
    assert cell.ok, cell.shown
    assert path_of(studio, "morning").read_bytes().startswith(magic)
    assert studio.run(f'morning.save("saved.{name}")?;').ok
    assert (studio.cwd / f"saved.{name}").read_bytes().startswith(magic)
    wrong = studio.run('morning.save("saved.%s")?;' % ("wav" if name == "mp3" else "mp3"))
    assert not wrong.ok and "--format" in wrong.shown


def test_numbers_markup_and_pronunciations_are_said(studio: Conversation):
    cell = studio.run('%speak "It costs $3.50 [pause 1.5] and *not* four, says [Siobhan](/ʃəvˈɔn/)." --say four=fˈIv')
    assert cell.ok, cell.shown
    words = spoken_words(studio, "spoken")
    by_text = {text.rstrip(".,"): (start, end, phonemes) for text, start, end, phonemes in words}
    assert {"$3.50", "and", "not", "four", "Siobhan"} <= set(by_text), words
    assert by_text["and"][0] - by_text["$3.50"][1] >= 1.4, words
    assert "dˈɑləɹ" in by_text["$3.50"][2] and by_text["Siobhan"][2].startswith("ʃəvˈɔn"), words
    assert by_text["four"][2].startswith("fˈIv"), words


def test_a_long_text_is_heard_before_it_is_said(studio: Conversation):
    sentences = [f"This is sentence number {n} of a text that takes a while to say." for n in range(1, 9)]
    # A seed of its own: what is in the store already has no first sentence to wait for.
    running = studio.send("%%speak --seed 201 --as story\n" + "\n".join(sentences))
    seen = []
    while not any("first sentence" in str(m["content"].get("data", "")) for m in seen):
        seen.append(studio.message(running))
    first = seen[-1]["content"]
    assert first["data"]["text/html"].count("<audio") == 1
    cell = studio.finish(running, seen)
    assert cell.ok, cell.shown
    after = cell.messages[len(seen) :]
    redrawn = [m for m in after if m["msg_type"] == "update_display_data"]
    card = [m for m in redrawn if m["content"]["transient"]["display_id"] != first["transient"]["display_id"]]
    assert len(card) >= 3, "the rest took its time after the first sentence was there"
    assert not any("first sentence" in html for html in cell.displays("text/html")), "its player goes at the end"
    assert sum("<audio" in html for html in cell.displays("text/html")) == 1
    texts = [text for text, *_ in spoken_words(studio, "story")]
    assert texts == " ".join(sentences).split()


def test_the_same_again_computes_nothing(studio: Conversation, home):
    assert studio.run(f'%speak "{SENTENCE}"').ok
    before = set(Engine(home).journals())
    cell = studio.run(f'%speak "{SENTENCE}"')
    assert cell.ok, cell.shown
    kinds = [event["event"] for event in new_journal(home, before)]
    assert "step_started" not in kinds and "step_cached" in kinds and kinds[-1] == "done"


@pytest.mark.parametrize(
    "cell, words",
    [
        ('%speak "Hello" --voice af_hart', ["af_hart", "af_heart"]),
        ('%speak "Hello" --voice af_heart:x', ["af_heart", "number"]),
        ('%speak "Hello" --voice af_heart:0.5+', ["missing"]),
        ('%speak "Hello" --format ogg', ["ogg", "flac"]),
        ('%speak "Hello" --speed 9', ["9", "0.5"]),
        ('%speak ""', ["empty|nothing to say"]),
        ("%speak", ["TEXT|text"]),
        ('%speak "?! ..."', ["nothing|said"]),
        ('%speak "Hello gif" --say gif=g§f', ["gif", "§|g"]),
        ('%speak "Hello gif" --say gif', ["gif", "="]),
        ('%speak "Hello [pause 99] you"', ["pause 99", "10"]),
        ('%speak "Hello [pause soon] you"', ["pause soon"]),
        ('%speak "Hello [you](/§/)"', ["§", "you"]),
        pytest.param("%%speak\n" + "many words " * 18_200, ["200", "100"], id="200k characters"),
        ("%clone_voice good.wav", ["consent"]),
        ('%clone_voice good.wav --consent " "', ["consent"]),
        ('%clone_voice second.wav --consent "my own voice"', ["second.wav", "1.0|0.9|0.8|0.7|0.6", "3"]),
        ('%clone_voice silence.wav --consent "my own voice"', ["silence.wav", "silent"]),
        ('%clone_voice noise.wav --consent "my own voice"', ["noise.wav", "speech"]),
        ('%clone_voice two-people.wav --consent "my own voice"', ["more than one person"]),
        ('%clone_voice good.wav reader.flac --consent "my own voice"', ["more than one person"]),
        ('%clone_voice two-hours.wav --consent "my own voice"', ["two-hours.wav", "7200 s|two hours"]),
        ('%clone_voice german.wav --consent "my own voice"', ["language", "English"]),
        ('%clone_voice text.wav --consent "my own voice"', ["text.wav"]),
        ('%clone_voice notes.txt --consent "my own voice"', ["notes.txt"]),
        ('%clone_voice cut.flac --consent "my own voice"', ["cut.flac"]),
        ('%clone_voice nowhere.wav --consent "my own voice"', ["nowhere.wav"]),
        ('%clone_voice empty-folder --consent "my own voice"', ["empty-folder", "recording"]),
        ('%clone_voice *.xyz --consent "my own voice"', ["*.xyz", "no file"]),
        ('%clone_voice good.wav --consent "my own voice" --as af_heart', ["af_heart"]),
        ('%clone_voice good.wav --consent "my own voice" --as ../up', ["../up"]),
        ('%clone_voice good.wav --consent "my own voice" --transcript " "', ["transcript"]),
        ("%listen nowhere.wav", ["nowhere.wav"]),
        ("%listen notes.txt", ["notes.txt"]),
        ("%voices nobody", ["nobody"]),
        ("%voices af_heart --remove", ["stock"]),
        ("%voices --import notes.txt", ["notes.txt"]),
        ('%render --portrait face.png --text "Hi" --speech good.wav', ["one thing"]),
        ('%render --portrait face.png --text "Hi" --voice nobody', ["nobody"]),
        ('%render --portrait face.png --text ""', ["empty|nothing to say"]),
    ],
)
def test_a_bad_input_is_one_sentence_with_help_and_the_kernel_goes_on(studio: Conversation, home, cell, words):
    before = profile_files(home)
    # Some are refused only after a network has listened.
    error = refused(studio.run(cell, timeout=CLONING))
    for word in words:
        assert any(each in error for each in word.split("|")), f"it does not say {word!r}:\n{error}"
    assert studio.value("1 + 1") == "2"
    assert profile_files(home) == before


def test_a_model_that_is_not_there_is_named_with_how_to_fetch_it(warm, home, tmp_path_factory):
    # An engine of its own with a cache that has everything but models.
    own, cwd = (tmp_path_factory.mktemp(name) for name in ("h", "notebook"))
    (own / "cache").mkdir()
    for entry in pathlib.Path(os.environ["SPINBOT_CACHE"]).iterdir():
        if entry.name != "models":
            (own / "cache" / entry.name).symlink_to(entry)
    environment = {"SPINBOT_HOME": str(own), "SPINBOT_CACHE": str(own / "cache")}
    with Conversation(cwd, environment=environment) as kernel:
        error = refused(kernel.run('%speak "Hello"'))
        assert "kokoro" in error and "%models pull kokoro" in error, error
        assert kernel.run("%voices").ok
        Engine(own).ask("stop")


def test_a_voice_is_cloned_listed_used_carried_away_and_removed(studio: Conversation, home):
    cell = studio.run(
        '%clone_voice reader.flac --consent "a LibriVox reader, public domain" --as reader', timeout=CLONING
    )
    assert cell.ok, cell.shown
    html = "".join(cell.displays("text/html"))
    assert html.count("<audio") == 2, "the original and the clone"
    for told in ("reader", "its speaker", "same speaker", "different speaker", "nearest stock voice", "DNSMOS"):
        assert told in html, f"{told!r} is not told"
    assert "image/png" in html and "This voice is synthetic." in html
    figures = studio.run(
        "let scores: spinbot::voices::VoiceScores = reader.scores().clone();\n"
        'println!("{} {} {} {} {} {}", scores.ge2e.nearest_stock, scores.ge2e.clone, scores.dvector.nearest_stock,\n'
        "    scores.dvector.clone, scores.held_out_seconds, scores.reference_seconds);"
    )
    assert figures.ok, figures.shown
    stock, clone, second_stock, second_clone, held_out, reference = map(float, figures.text().split())
    assert clone >= stock and second_clone >= second_stock - 0.02, figures.text()
    assert held_out > 2 and reference > 4
    assert studio.value("reader.consent()") == '"a LibriVox reader, public domain"'

    file = path_of(studio, "reader")
    assert file.is_relative_to(home) and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "reader" in studio.run("%voices").shown
    shown = studio.run("%voices reader")
    assert shown.ok and "".join(shown.displays("text/html")).count("<audio") == 2

    for voice in ("reader", "reader:0.5+af_heart:0.5"):
        said = studio.run(f'%speak "{SENTENCE}" --voice {voice} --as said')
        assert said.ok, said.shown
        back = studio.run(f"%listen {path_of(studio, 'said')} --as back")
        assert back.ok, back.shown
        transcript = studio.run('println!("{}", back.transcript);').text()
        assert word_error(SENTENCE, transcript) <= 0.2, f"{voice}: {transcript}"

    exported = studio.run("%voices reader --export carried.voice")
    assert exported.ok and "carried.voice" in exported.text(), exported.shown
    assert "already" in refused(studio.run("%voices --import carried.voice"))
    removed = studio.run("%voices reader --remove")
    assert removed.ok and not file.exists(), removed.shown
    assert "reader" in refused(studio.run('%speak "Hello" --voice reader'))
    imported = studio.run("%voices again --import carried.voice")
    assert imported.ok and "a LibriVox reader" in "".join(imported.displays("text/html")), imported.shown
    assert "again.safetensors" in profile_files(home)
    assert studio.run('%speak "Hello." --voice again').ok
    assert studio.run("%voices again --remove").ok
    assert not {"again.safetensors", "reader.safetensors"} & set(profile_files(home))


def test_the_stop_button_cancels_a_clone_and_leaves_no_profile(studio: Conversation, home):
    before = profile_files(home)
    running = studio.send('%clone_voice reader.flac --consent "a LibriVox reader" --as never --seed 202')
    engine = Engine(home)
    seen = studio.wait_for(running, "display_data")
    while "step" not in str(seen[-1]["content"].get("data", "")):
        seen.append(studio.message(running))
    studio.interrupt()
    cell = studio.finish(running, seen, timeout=60)
    assert not cell.ok
    newest = max(engine.journals().values(), key=lambda events: events[0]["at"])
    assert newest[-1]["event"] == "cancelled"
    assert engine.status()["running"] is None
    assert profile_files(home) == before
    assert "never" not in studio.run("%voices").shown
    assert studio.run(f'%speak "{SENTENCE}"').ok


def test_a_photo_says_a_text_as_long_as_the_speech(studio: Conversation):
    text = "Papa brought me a big purple apple."
    cell = studio.run(
        f'%render --portrait face.png --text "{text}" --voice bm_george --preset draft --as talk', timeout=2 * PATIENCE
    )
    assert cell.ok, cell.shown
    [html] = [html for html in cell.displays("text/html") if "<video" in html]
    assert "controls" in html
    figures = studio.run(
        "let timing: spinbot::SpeechTiming = talk.timing()?.ok_or_else(|| Fault::new(\"no timing\"))?;\n"
        'println!("{} {} {}", talk.duration()?, timing.seconds, timing.words.len());'
    )
    assert figures.ok, figures.shown
    video, speech, words = map(float, figures.text().split())
    assert abs(video - speech) <= 1 / 25 + 1e-6, figures.text()
    assert words == len(text.split())
    mp4 = path_of(studio, "talk").read_bytes()
    assert b"vide" in mp4 and b"soun" in mp4 and b"avc1" in mp4 and b"fLaC" in mp4
    assert studio.run('talk.save("talk.mp4")?;').ok
    vtt = studio.run('println!("{}", talk.subtitles()?.unwrap_or_default());')
    assert vtt.text().startswith("WEBVTT") and "purple" in vtt.text()
    assert "generated face and voice" in studio.value("talk.metadata()?.notice")


def test_subtitles_are_burned_in_or_shown_beside_without_speaking_again(studio: Conversation):
    render = '%render --portrait face.png --text "Papa brought me a big purple apple." --voice bm_george --preset draft'
    plain = studio.run(render + " --as plain", timeout=2 * PATIENCE)
    assert plain.ok, plain.shown
    burned = studio.run(render + " --subtitles burned --as burned")
    assert burned.ok, burned.shown
    [html] = [html for html in burned.displays("text/html") if "<video" in html]
    assert "already there" in html and "speak, articulate" in html and "purple" not in html
    assert path_of(studio, "burned").read_bytes() != path_of(studio, "plain").read_bytes()
    beside = studio.run(render + " --subtitles beside --as beside")
    assert beside.ok, beside.shown
    [html] = [html for html in beside.displays("text/html") if "<video" in html]
    assert "purple" in html and "--&gt;" in html
    assert studio.value("beside.artifact() == plain.artifact()") == "true"
    error = refused(studio.run("%render --portrait face.png --speech reader.flac --subtitles burned"))
    assert "--text" in error, error


def test_rust_speaks_what_the_magic_speaks(studio: Conversation):
    magic = studio.run('%speak "One way to do a thing." --voice af_heart:0.6+am_echo:0.4 --as by_magic')
    assert magic.ok, magic.shown
    cell = studio.run(
        'let by_rust: Spoken = spinbot::speak("One way to do a thing.").voice("af_heart:0.6+am_echo:0.4").run()?;'
    )
    assert cell.ok, cell.shown
    assert studio.value("by_rust.artifact() == by_magic.artifact()") == "true"
    wrong = studio.run('let by_rust: Spoken = spinbot::speak("Hello").voice("nobody").run()?;')
    assert not wrong.ok and "nobody" in wrong.shown and "help:" in wrong.shown, wrong.shown


@pytest.fixture(scope="module")
def pocket(warm, spinbot: str, tmp_path_factory: pytest.TempPathFactory):
    """A kernel, engine and list of models of its own, with two small releases of pocket-tts added: `open`, which cannot
    clone, and `whole`. All other models are those of `SPINBOT_CACHE`."""
    own, cwd = (tmp_path_factory.mktemp(name) for name in ("p", "notebook"))
    cache = pathlib.Path(os.environ["SPINBOT_CACHE"])
    (own / "cache" / "models").mkdir(parents=True)
    for folder in (cache, cache / "models"):
        for entry in folder.iterdir():
            place = own / "cache" / entry.relative_to(cache)
            if entry.name not in ("models", "added.json"):
                place.symlink_to(entry)
    environment = {"SPINBOT_HOME": str(own), "SPINBOT_CACHE": str(own / "cache")}
    for name in ("open", "whole"):
        weights = voice_material.release_of_pocket(own / name, cloning=name == "whole")
        subprocess.run(
            [spinbot, "models", "add", str(weights), "--as", name], check=True, env=os.environ | environment
        )
    shutil.copy(voice_material.READER, cwd / "reader.flac")
    shutil.copy(FIXTURES / "portraits" / "astronaut.png", cwd / "face.png")
    with Conversation(cwd, environment=environment) as kernel:
        kernel.cwd, kernel.home = cwd, own
        yield kernel
        Engine(own).ask("stop")


def test_a_voice_of_a_model_of_ones_own_speaks_and_makes_a_photo_talk(pocket: Conversation):
    assert "open/alba" in pocket.run("%voices").shown
    assert "preset voice of the model open" in pocket.run("%voices open/alba").text()
    said = pocket.run('%speak "Hello there. [pause 1] It is a fine day." --voice open/alba --as said')
    assert said.ok, said.shown
    [html] = [html for html in said.displays("text/html") if "<audio" in html]
    assert "2 parts, without times of words" in html and "0 words" not in html and "WEBVTT" in html
    assert pocket.value("said.words()?.len()") == "0"
    parts = pocket.run('for s in said.timing()?.sentences { println!("{} {} {}", s.start, s.end, s.text); }')
    assert [line.split(" ", 2)[2] for line in parts.text().splitlines()] == ["Hello there.", "It is a fine day."]
    rust = pocket.run(
        'let again: Spoken = spinbot::speak("Hello there. [pause 1] It is a fine day.").voice("open/alba").run()?;'
    )
    assert rust.ok, rust.shown
    assert pocket.value("again.artifact() == said.artifact()") == "true"

    talk = pocket.run(
        '%render --portrait face.png --text "Hello there." --voice open/alba --preset draft --as talk',
        timeout=2 * PATIENCE,
    )
    assert talk.ok and any("<video" in html for html in talk.displays("text/html")), talk.shown
    [events] = [e for e in Engine(pocket.home).journals().values() if any(v.get("step") == "animate" for v in e)]
    steps = {event.get("step") for event in events}
    assert "drive" in steps and "articulate" not in steps
    assert not list((pocket.home / "artifacts").glob(f"*{model_hash(pocket, 'open')}*")), "weights are never copied"


def model_hash(pocket: Conversation, name: str) -> str:
    """SHA-256 of an added model."""
    digest = pocket.value(f'spinbot::models::AddedModels::standard().find("{name}")?.sha256.to_string()')
    return digest.strip('"')


@pytest.mark.parametrize(
    "cell, words",
    [
        ('%speak "Hi" --voice open/alb', ["open/alb", "open/alba"]),
        ('%speak "Hi" --voice open/alba+af_sky', ["cannot be mixed"]),
        ('%speak "Hi" --voice open/alba --speed 1.5', ["how fast"]),
        ('%speak "Hi" --voice open/alba --say Hi=hˈI', ["pronounced"]),
        ('%speak "[Hi](/hˈI/) you" --voice open/alba', ["`Hi`"]),
        ("%voices open/alba --remove", ["preset"]),
        ('%clone_voice reader.flac --consent "my own voice" --with opn', ["opn", "open"]),
        ('%clone_voice reader.flac --consent "my own voice" --with whole --finetune', ["adapters"]),
        ('%clone_voice reader.flac --consent "my own voice" --with open', ["cannot clone", "all zero", "preset voices"]),
    ],
)
def test_what_pocket_cannot_do_is_one_sentence_with_help(pocket: Conversation, cell, words):
    before = set(Engine(pocket.home).journals())
    error = refused(pocket.run(cell))
    for word in words:
        assert word in error, f"it does not say {word!r}:\n{error}"
    assert profile_files(pocket.home) == []
    new = [events for job, events in Engine(pocket.home).journals().items() if job not in before]
    assert all(event.get("step") != "read_clips" for events in new for event in events), "nothing was read"


def test_a_voice_is_cloned_with_a_model_of_ones_own_and_needs_it(pocket: Conversation):
    cell = pocket.run(
        '%clone_voice reader.flac --consent "a LibriVox reader, public domain" --with whole --as me', timeout=CLONING
    )
    assert cell.ok, cell.shown
    html = "".join(cell.displays("text/html"))
    assert html.count("<audio") == 2 and "This voice is synthetic." in html
    for told in ("only roughly resembles", "nearest stock voice", "pocket-tts", "DNSMOS", "same speaker"):
        assert told in html, f"{told!r} is not told"
    assert "with the model whole" in pocket.run("%voices").shown
    assert pocket.run('%speak "Hello there." --voice me --as said').ok
    assert "cannot be mixed" in refused(pocket.run('%speak "Hello there." --voice me:0.5+af_sky'))
    listened = pocket.run(f"%listen {path_of(pocket, 'said')} --like me")
    assert listened.ok, listened.shown

    weights = pocket.home / "whole" / "model.safetensors"
    weights.rename(weights.with_suffix(".away"))
    # Another text: what was said before is there without any model.
    error = refused(pocket.run('%speak "Another text." --voice me'))
    assert "is gone" in error and "models add" in error
    weights.with_suffix(".away").rename(weights)
    listing = pocket.home / "cache" / "models" / "added.json"
    kept = listing.read_text()
    listing.write_text("[]")
    error = refused(pocket.run('%speak "Another text." --voice me'))
    assert "`whole`, which is not on this machine" in error and "models add" in error
    listing.write_text(kept)
    assert pocket.run('%speak "Another text." --voice me').ok
