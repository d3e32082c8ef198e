"""A notebook session as its user lives it: cells, output, errors, interrupts, crashes.

Every test says in its name what a user may rely on. Rendering is in test_render.py, raw frames in ../tests.
"""

from __future__ import annotations

import re
import time

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from conversation import Conversation

NOTEBOOK_LIMIT = 32 * 2**20
"""Bytes of one display that must come through whole."""


def test_variables_items_and_imports_live_from_cell_to_cell(kernel: Conversation):
    for code in (
        "let answer: i32 = 41;",
        "use std::collections::BTreeMap;",
        "#[derive(Debug, Clone)] struct Bot { name: String, years: u32 }",
        "fn twice(x: i32) -> i32 { x * 2 }",
        'let bot: Bot = Bot { name: "nova".to_string(), years: 3 };',
        "let mut seen: BTreeMap<i32, String> = BTreeMap::new();",
        'seen.insert(1, "one".to_string());',
        "let answer: i32 = answer + 1;",
    ):
        cell = kernel.run(code)
        assert cell.ok, f"{code}\n{cell.shown}"
    assert kernel.value("twice(answer)") == "84"
    assert kernel.value("seen.len()") == "1"
    assert kernel.value("bot.years") == "3"
    assert "nova" in kernel.value("bot.clone()")
    silent = kernel.run("answer;")
    assert silent.ok and silent.outputs == []


@pytest.mark.parametrize(
    "code, code_of_error, marked",
    [
        ('let ok: i32 = 1;\nlet wrong: i32 = "no";', "E0308", '"no"'),
        ("let x: i32 = undefined_name;", "E0425", "undefined_name"),
        ("vec![1].push_back(2);", "E0599", "push_back"),
        ("let s = String::new(); let t = s; s.len()", "E0382", "s"),
    ],
)
def test_a_compile_error_has_its_carets_its_code_and_an_honest_status(
    kernel: Conversation, code, code_of_error, marked
):
    cell = kernel.run(code)
    assert cell.reply["status"] == "error"
    assert cell.kinds()[-1] == "error"
    assert code_of_error in cell.error, cell.error
    assert cell.reply["ename"] and cell.reply["evalue"] and cell.reply["traceback"]
    lines = cell.error.splitlines()
    under = next(i for i, line in enumerate(lines) if "^" in line)
    # Labels of the same line may stand between the carets and the line they are about.
    about = next(line for line in reversed(lines[:under]) if re.match(r"\s*\d+ \|", line))
    column = lines[under].index("^")
    assert about[column:].startswith(marked), cell.error
    assert lines[under].count("^") == len(marked), cell.error


def test_what_is_printed_and_shown_arrives_in_the_order_it_was_written(kernel: Conversation):
    cell = kernel.run(
        'println!("1");\n'
        'eprintln!("2");\n'
        'spinbot::display(Text("3".into()));\n'
        'println!("4");\n'
        'spinbot::display(Html("<b>5</b>".into()));\n'
        'eprintln!("6");\n'
        'print!("7");\n'
        "8"
    )
    assert cell.ok, cell.shown
    order = [
        o["text"].strip() if o["type"] == "stream" else o["data"].get("text/html") or o["data"]["text/plain"]
        for o in cell.outputs
    ]
    assert order == ["1", "2", "3", "4", "<b>5</b>", "6", "7", "8"]
    assert [o.get("name") for o in cell.outputs if o["type"] == "stream"] == (
        ["stdout", "stderr", "stdout", "stderr", "stdout"]
    )


def test_what_a_child_process_prints_comes_before_what_follows_it(kernel: Conversation):
    cell = kernel.run(
        'println!("before");\n'
        'std::process::Command::new("sh").args(["-c", "echo child; echo oops >&2"]).status().unwrap();\n'
        'println!("after");\n'
        '"value"'
    )
    assert cell.ok and cell.result == '"value"', cell.shown
    assert cell.text() == "before\nchild\nafter\n" and cell.text("stderr") == "oops\n"
    assert cell.kinds()[-1] == "execute_result", cell.kinds()


def test_a_thread_left_printing_does_not_hang_the_cells_after_it(kernel: Conversation):
    assert kernel.run('std::thread::spawn(|| loop { println!("t"); });').ok
    for n in range(5):
        cell = kernel.run(f'println!("cell {n}");', timeout=60)
        assert cell.ok and f"cell {n}\n" in cell.text(), cell.shown


def test_a_cell_nested_beyond_reason_is_refused_and_the_kernel_goes_on(kernel: Conversation):
    deep = "(" * 5000 + "1" + ")" * 5000
    kernel.is_complete(deep)
    cell = kernel.run(deep)
    assert not cell.ok and "help:" in cell.shown, cell.shown
    assert kernel.run("let sum: i32 = " + "+".join(["1"] * 2000) + ";").ok
    assert kernel.value("sum") == "2000"


def test_text_without_a_newline_is_seen_before_the_cell_ends(kernel: Conversation):
    running = kernel.send(
        'print!("half a line"); std::thread::sleep(std::time::Duration::from_secs(3)); println!(" and the rest");'
    )
    seen = kernel.wait_for(running, "stream")
    arrived = time.monotonic()
    cell = kernel.finish(running, seen)
    assert seen[-1]["content"]["text"] == "half a line"
    assert time.monotonic() - arrived > 1, "the text came only with the cell's end"
    assert cell.text() == "half a line and the rest\n"


def test_a_display_is_replaced_in_place_also_from_a_later_cell(kernel: Conversation):
    first = kernel.run(
        'let handle: spinbot::DisplayHandle = spinbot::display(Html("old".into()));\n'
        'spinbot::display(Html("beside".into()));\n'
        'handle.update(Html("new".into()));'
    )
    assert first.ok, first.shown
    assert first.kinds() == ["display_data", "display_data", "update_display_data"]
    assert first.displays("text/html") == ["new", "beside"]
    shown, _, updated = (m["content"]["transient"]["display_id"] for m in first.messages if "display" in m["msg_type"])
    assert shown == updated
    later = kernel.run('handle.update(Html("newer".into()));')
    assert later.ok and later.kinds() == ["update_display_data"], later.shown
    assert first.displays("text/html") == ["newer", "beside"]


def test_clear_output_clears_at_once_or_with_the_next_output(kernel: Conversation):
    cell = kernel.run('println!("gone"); spinbot::clear_output(false); println!("here");')
    assert cell.ok and cell.kinds() == ["stream", "clear_output", "stream"], cell.shown
    assert cell.text() == "here\n"
    cell = kernel.run('println!("gone"); spinbot::clear_output(true); println!("here");')
    waits = [m["content"]["wait"] for m in cell.messages if m["msg_type"] == "clear_output"]
    assert waits == [True] and cell.text() == "here\n"


def test_a_progress_bar_is_one_display_that_fills(kernel: Conversation):
    cell = kernel.run("for _ in spinbot::progress(0..20) { std::thread::sleep(std::time::Duration::from_millis(30)); }")
    assert cell.ok, cell.shown
    kinds = cell.kinds()
    assert kinds[0] == "display_data" and set(kinds[1:]) == {"update_display_data"}
    assert cell.displays()[0].startswith("20/20")


def test_a_loop_is_interrupted_and_variables_from_before_still_print(kernel: Conversation):
    assert kernel.run('let before: String = "still here".to_string();').ok
    running = kernel.send('println!("turning"); loop {}')
    seen = kernel.wait_for(running, "stream")
    kernel.interrupt()
    cell = kernel.finish(running, seen, timeout=20)
    assert cell.reply["status"] == "error"
    assert "nterrupt" in cell.error, cell.error
    assert kernel.value("before.clone()") == '"still here"'


def test_a_sleep_and_a_bare_loop_are_interrupted_while_they_may_still_be_compiling(kernel: Conversation):
    assert kernel.run("let kept: i32 = 7;").ok
    for code in ("loop {}", "std::thread::sleep(std::time::Duration::from_secs(600));"):
        for pause in (0.0, 0.05, 0.15, 1.0):
            running = kernel.send(code)
            kernel.wait_for(running, "status")
            time.sleep(pause)
            kernel.interrupt()
            cell = kernel.finish(running, timeout=20)
            assert cell.reply["status"] == "error", f"{code} after {pause} s"
            assert kernel.value("kept") == "7", f"{code} after {pause} s"


def test_an_interrupt_that_comes_as_soon_as_a_cell_is_busy_is_never_lost(kernel: Conversation):
    for _ in range(20):
        running = kernel.send("std::thread::sleep(std::time::Duration::from_secs(600));")
        kernel.wait_for(running, "status")
        kernel.interrupt()
        assert kernel.finish(running, timeout=20).reply["status"] == "error"
    assert kernel.value("1 + 1") == "2", "an interrupt is forgotten with its cell"


@pytest.mark.parametrize(
    "code, told",
    [
        ('panic!("boom {}", 6 * 7);', "boom 42"),
        ("let v: Vec<i32> = vec![]; v[3];", "index out of bounds"),
        ("unsafe { *(8 as *mut i32) = 1 };", "SIGSEGV"),
        ("std::process::abort();", "SIGABRT"),
        ("std::process::exit(3);", "3"),
    ],
)
def test_a_crash_is_told_and_costs_no_earlier_variable(kernel: Conversation, code, told):
    assert kernel.run('let survivor: Vec<String> = vec!["a".to_string(), "b".to_string()];').ok
    cell = kernel.run(f'println!("written before"); {code}')
    assert cell.reply["status"] == "error", cell.shown
    assert told in cell.error, cell.error
    assert cell.text().startswith("written before\n"), "what the cell had printed is lost"
    assert kernel.value("survivor.len()") == "2"
    assert kernel.run("let after: i32 = 1;").ok
    assert kernel.value("after + survivor.len() as i32") == "3"


def test_cells_queued_behind_a_failing_one_are_not_run(kernel: Conversation):
    assert kernel.run("let mut ran: i32 = 0;").ok
    failing = kernel.send('std::thread::sleep(std::time::Duration::from_millis(500)); panic!("stop");')
    queued = [kernel.send("ran += 1;") for _ in range(3)]
    kernel.finish(failing)
    for cell in queued:
        assert kernel.finish(cell).reply["status"] == "aborted"
    assert kernel.value("ran") == "0"


@pytest.mark.parametrize(
    "code, status",
    [
        ("1 + 1", "complete"),
        ("fn f() { 1 + 1; }", "complete"),
        ('let s = "{ not open";', "complete"),
        ("let c = '{';", "complete"),
        ('let r = r#"{ "quoted" "#;', "complete"),
        ("1 // {", "complete"),
        ("/* /* nested */ */ 1", "complete"),
        ("", "complete"),
        ("fn f() {", "incomplete"),
        ("let v = vec![1,", "incomplete"),
        ('let s = "open', "incomplete"),
        ('let r = r#"open"', "incomplete"),
        ("/* open", "incomplete"),
        ("match x {\n    1 => (),", "incomplete"),
        ("f(1))", "invalid"),
        ("fn f() ]", "invalid"),
        ("%lsmagic", "complete"),
        ("%render?", "complete"),
    ],
)
def test_a_half_typed_cell_is_known_as_such(kernel: Conversation, code, status):
    answer = kernel.is_complete(code)
    assert answer["status"] == status, code
    if status == "incomplete" and code.endswith("{"):
        assert answer["indent"].strip() == "" and answer["indent"], "the next line is indented"


def test_lsmagic_lists_every_magic_and_a_question_mark_explains_one(kernel: Conversation):
    cell = kernel.run("%lsmagic")
    assert cell.ok, cell.shown
    for name in ("%lsmagic", "%time", "%render"):
        assert name in cell.shown
    for code in ("%render?", "%render --help"):
        cell = kernel.run(code)
        assert cell.ok, cell.shown
        for word in ("--portrait", "--speech", "--preset", "draft"):
            assert word in cell.shown, f"{code} does not tell of {word}"


def test_time_runs_the_code_and_tells_how_long(kernel: Conversation):
    for code in ("%time let timed: i32 = 6 * 7;", '%%time\nlet timed: i32 = 6 * 7;\nprintln!("in it");'):
        cell = kernel.run(code)
        assert cell.ok, cell.shown
        assert "wall time" in cell.text(), cell.shown
        assert kernel.value("timed") == "42"
    cell = kernel.run("%time undefined_name")
    assert not cell.ok and "E0425" in cell.error


def test_rust_and_magic_lines_of_one_cell_run_in_order(kernel: Conversation):
    cell = kernel.run('println!("first");\n%lsmagic\nlet mixed: i32 = 5;\n%time println!("third")\nmixed + 1')
    assert cell.ok, cell.shown
    shown = cell.shown
    places = [shown.index(word) for word in ("first", "%lsmagic", "third", "wall time")]
    assert places == sorted(places), shown
    assert cell.result == "6"
    cell = kernel.run('println!("before");\n%nonsense\nprintln!("after");')
    assert not cell.ok
    assert "before" in cell.text() and "after" not in cell.text(), "a failing magic stops the cell there"


def test_a_percent_sign_in_rust_is_no_magic(kernel: Conversation):
    assert kernel.value("let a: i32 = 17\n% 5;\na") == "2"
    assert kernel.run('println!("{}", "\n%lsmagic\n");').text() == "\n%lsmagic\n\n"


@pytest.mark.parametrize(
    "code, marked, helped",
    [
        ("%rendre --portrait a.png", "%rendre", "%render"),
        ("%render --portait a.png --speech b.wav", "--portait", "--portrait"),
        ("%render --portrait nowhere.png --speech b.wav", "nowhere.png", ""),
        ("%render --portrait", "", "--portrait IMAGE"),
        ("%render --preset huge --portrait a.png --speech b.wav", "huge", "draft"),
        ("%render --seed minus --portrait a.png --speech b.wav", "minus", ""),
        ('%render --portrait "a.png', '"a.png', ""),
        ('%%render\nportrait = 3\nspeech = "b.wav"', "3", ""),
        ('%%render\nportrait = \nspeech = "b.wav"', "", ""),
        ("%lsmagic surplus", "surplus", ""),
    ],
)
def test_a_mistake_in_a_magic_points_at_the_characters_and_helps(kernel: Conversation, code, marked, helped):
    cell = kernel.run(code)
    assert cell.reply["status"] == "error"
    lines = cell.error.splitlines()
    assert any(line.strip().startswith("help:") or "= help:" in line for line in lines), cell.error
    assert helped in cell.error, cell.error
    assert not [word for word in ("panicked", "called `", "Os {") if word in cell.error], cell.error
    if marked:
        under = next((i for i, line in enumerate(lines) if "^" in line), None)
        assert under is not None, cell.error
        column, width = lines[under].index("^"), lines[under].count("^")
        assert lines[under - 1][column : column + width] == marked, cell.error
    assert kernel.value("1 + 1") == "2"


def test_twenty_thousand_lines_arrive_all_and_in_order(kernel: Conversation):
    cell = kernel.run('for i in 0..20_000 { println!("{i}"); }')
    assert cell.ok
    assert cell.text() == "".join(f"{i}\n" for i in range(20_000))


def test_a_display_of_32_megabytes_arrives_whole(kernel: Conversation):
    cell = kernel.run(f'spinbot::display(Text("x".repeat({NOTEBOOK_LIMIT})));')
    assert cell.ok, cell.error
    assert [len(text) for text in cell.displays()] == [NOTEBOOK_LIMIT]
    assert kernel.value("1 + 1") == "2"


def test_each_kind_of_rich_value_is_shown_as_its_type(kernel: Conversation):
    for code, mime in (
        ('Html("<i>x</i>".into())', "text/html"),
        ('Markdown("*x*".into())', "text/markdown"),
        ('Latex("$x$".into())', "text/latex"),
        ('Svg("<svg xmlns=\\"http://www.w3.org/2000/svg\\"/>".into())', "image/svg+xml"),
    ):
        cell = kernel.run(f"spinbot::display({code});")
        assert cell.ok, cell.shown
        assert len(cell.displays(mime)) == 1 and len(cell.displays("text/plain")) == 1, code


def test_a_late_second_client_is_served_too(kernel: Conversation):
    assert kernel.run("let shared: i32 = 11;").ok
    # A front end of its own has a session of its own; a client of the same manager would share the first one's id
    # and take its replies, under any kernel.
    second = BlockingKernelClient()
    second.load_connection_file(kernel.manager.connection_file)
    second.start_channels()
    try:
        second.wait_for_ready(timeout=60)
        reply = second.execute_interactive("shared + 1", output_hook=lambda _: None, timeout=60, allow_stdin=False)
        assert reply["content"]["status"] == "ok"
    finally:
        second.stop_channels()
    assert kernel.value("shared") == "11"


@pytest.mark.parametrize("state", ["idle", "looping", "compiled"])
def test_shutdown_leaves_no_process_behind(warm: None, tmp_path, state):
    kernel = Conversation(tmp_path)
    try:
        if state != "idle":
            assert kernel.value("1 + 1") == "2"
        if state == "looping":
            running = kernel.send('println!("on"); loop {}')
            kernel.wait_for(running, "stream")
        process = kernel.process
        family = [process, *process.children(recursive=True)]
    finally:
        kernel.close()
    gone, alive = psutil.wait_procs(family, timeout=15)
    left = [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert not left, f"still alive: {[' '.join(p.cmdline()) for p in left]}"


def test_a_kernel_killed_outright_takes_its_children_with_it(warm: None, tmp_path):
    kernel = Conversation(tmp_path)
    try:
        running = kernel.send('println!("on"); loop {}')
        kernel.wait_for(running, "stream")
        family = kernel.process.children(recursive=True)
        kernel.process.kill()
        _, alive = psutil.wait_procs(family, timeout=15)
        left = [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        assert not left, f"still alive: {[' '.join(p.cmdline()) for p in left]}"
    finally:
        kernel.close()
