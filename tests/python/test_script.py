"""`%script` through the real kernel, engine and worker: SmolLM2's own words, those of a server that speaks Ollama's API, and
what becomes of a server that is down, lacks the model, or answers with something else."""

from __future__ import annotations

import html
import json
import re
import shutil
import threading
import time

import pytest

import ollama_server
from conversation import Conversation
from executed import DIRECT, executed, well_executed
from material import FIXTURES
from refusal import refused

TOPIC = "why octopuses have three hearts"


def test_the_direct_notebook_runs_from_topics_to_videos(warm: None) -> None:
    bundles = well_executed(DIRECT, executed(DIRECT))
    html = "".join(bundle.get("text/html", "") for bundle in bundles)
    assert html.count("<video") == 7, "one for each %render, and three takes; Rust cells show what they are told to"
    assert "by SmolLM2" in html


def narration(kernel: Conversation, name: str = "script") -> str:
    """What the script says."""
    return json.loads(kernel.value(f"{name}.narration()"))


def notes(kernel: Conversation, name: str = "script") -> list[str]:
    """What did not go as asked for."""
    cell = kernel.run(f'for note in &{name}.report().notes {{ println!("{{note}}"); }}')
    assert cell.ok, cell.shown
    return cell.text().splitlines()


def test_the_built_in_model_writes_about_the_topic_at_the_length_asked_for(kernel: Conversation) -> None:
    for seconds, seed in [(8, 1), (20, 2)]:
        cell = kernel.run(f'%script "{TOPIC}" --seconds {seconds} --seed {seed}', timeout=300)
        assert cell.ok, cell.shown
        said = narration(kernel)
        words = len(said.split())
        assert 0.6 * 2.6 * seconds <= words <= 1.5 * 2.6 * seconds, f"{words} words for {seconds} s: {said}"
        assert re.search(r"octopus|heart", said.lower()), said
        assert said[-1] in ".!?", said
        assert "SmolLM2" in cell.shown
        assert "tokens a second" in cell.shown
        stages = kernel.run("println!(\"{}\", spinbot::script::STAGES.join(\"|\"));").text().strip().split("|")
        assert json.loads(kernel.value("script.stage()")) in stages, "one that the built-in image model can draw"
        assert not notes(kernel)


def test_words_are_seen_while_they_are_written_and_the_stop_button_ends_it(kernel: Conversation) -> None:
    cell = kernel.run(f'%script "{TOPIC}" --seconds 60 --seed 5', timeout=300)
    assert cell.ok, cell.shown
    cards = [
        message["content"]["data"].get("text/html", "")
        for message in cell.messages
        if message["header"]["msg_type"] in ("display_data", "update_display_data")
    ]
    growing = [re.sub(r"<[^>]*>", "", card) for card in cards]
    assert len({len(card) for card in growing}) > 3, "the card grows while it is written"
    with ollama_server.served() as ollama:
        ollama.pause = 3.0
        threading.Timer(2.0, kernel.interrupt).start()
        started = time.monotonic()
        cell = kernel.run(f'%script "tea" --llm ollama:tiny-llama --ollama {ollama.url}')
        assert not cell.ok
        assert time.monotonic() - started < 60.0, "a server that would take minutes does not hold the cell"


def test_a_script_can_be_edited_in_a_cell_below(kernel: Conversation) -> None:
    cell = kernel.run(f'%script "{TOPIC}" --seconds 8 --seed 1 --edit', timeout=300)
    assert cell.ok, cell.shown
    [payload] = cell.reply["payload"]
    assert payload["source"] == "set_next_input"
    assert payload["text"].startswith("%%render\n")
    assert " ".join(payload["text"].split('"""')[1].split()) == narration(kernel)


def test_ollama_is_asked_for_the_form_and_its_words_are_taken(kernel: Conversation) -> None:
    with ollama_server.served() as ollama:
        cell = kernel.run(
            f'%script "{TOPIC}" --llm ollama:tiny-llama --ollama {ollama.url} --tone formal --persona "a diver" --seconds 12'
        )
        assert cell.ok, cell.shown
        assert narration(kernel) == ollama_server.NARRATION
        assert json.loads(kernel.value("script.stage()")) == "at the beach"
        assert "Ollama's tiny-llama" in cell.shown
        assert not notes(kernel)
        request = ollama.requests[0]
        assert request["format"]["required"] == ["narration", "stage"]
        assert request["stream"] is True
        asked = request["messages"][-1]["content"]
        assert TOPIC in asked
        assert "a diver" in asked
        assert "formal" in asked
        # The same again is not asked again.
        count = len(ollama.requests)
        cell = kernel.run(
            f'%script "{TOPIC}" --llm ollama:tiny-llama --ollama {ollama.url} --tone formal --persona "a diver" --seconds 12'
        )
        assert cell.ok, cell.shown
        assert len(ollama.requests) == count


def test_a_render_of_a_topic_says_the_script_it_wrote_and_writes_it_once(kernel: Conversation) -> None:
    shutil.copy(FIXTURES / "portraits/astronaut.png", kernel.cwd / "me.png")
    line = f'%render "{TOPIC}" --portrait me.png --preset draft --seconds 6 --seed 2 --style still'
    cell = kernel.run(line, timeout=600)
    assert cell.ok, cell.shown
    said = json.loads(kernel.value("take.script()?.unwrap().narration"))
    words = kernel.run('for word in take.timing()?.unwrap().words { print!("{} ", word.text); }').text().split()
    assert [re.sub(r"\W", "", word).lower() for word in words] == [re.sub(r"\W", "", w).lower() for w in said.split()]
    length = float(kernel.value("take.duration()?"))
    assert 3.0 < length < 10.0, f"{length} s of video for 6 s of script"
    assert said in html.unescape("".join(cell.displays("text/html")))
    again = kernel.run(f"{line} --speed 1.1", timeout=600)
    assert again.ok, again.shown
    assert "read_portrait" in "".join(again.displays("text/html")), "the portrait is there already"


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("down", "Ollama does not answer at"),
        ("missing", "Ollama has no model `llama-huge` (it has tiny-llama:latest, other:7b"),
        ("garbled", "does not speak Ollama's language"),
        ("no script", "wrote no script: it is no JSON"),
    ],
)
def test_where_ollama_fails_smollm2_writes_and_says_so_and_that_is_not_kept(
    kernel: Conversation, trouble: str, words: str
) -> None:
    with ollama_server.served() as ollama:
        model = "llama-huge" if trouble == "missing" else "tiny-llama"
        url = "http://127.0.0.1:9" if trouble == "down" else ollama.url
        ollama.garbled = trouble == "garbled"
        if trouble == "no script":
            ollama.answer = "I would rather not."
        line = f'%script "{TOPIC}" --llm ollama:{model} --ollama {url} --seconds 8'
        cell = kernel.run(line, timeout=300)
        assert cell.ok, cell.shown
        [note] = notes(kernel)
        assert words in note, note
        assert note.endswith("SmolLM2 wrote this instead.")
        assert note in cell.shown
        assert narration(kernel) != ollama_server.NARRATION
        if trouble in ("garbled", "no script"):
            # It recovers: now its own words are taken, not what was made in their place.
            ollama.garbled, ollama.answer = False, ollama_server.Ollama().answer
            cell = kernel.run(line, timeout=300)
            assert cell.ok, cell.shown
            assert ollama_server.NARRATION.startswith(narration(kernel))
            assert not notes(kernel)


@pytest.mark.parametrize(
    ("line", "message", "help_line"),
    [
        ('%script "tea" --llm ollama:x --ollama http://192.168.1.5:11434', "this is another machine", "--allow-remote"),
        ('%script "tea" --llm ollama:x --ollama https://127.0.0.1', "only http is spoken here", "SSH tunnel"),
        ('%script "tea" --llm ollama:', "no model of Ollama's is named", "ollama:NAME"),
        ('%script "tea" --llm nosuch', "no language model called `nosuch`", "spinbot models add"),
        ('%script ""', "the topic has 0 characters", "what it is about"),
        ('%script "tea" --seconds 1000', "1000", "300"),
        ('%script "tea" --tone rude', "rude", "casual"),
    ],
)
def test_what_cannot_be_written_is_refused_with_help(
    kernel: Conversation, line: str, message: str, help_line: str
) -> None:
    error = refused(kernel.run(line))
    assert message in error
    assert help_line in error
