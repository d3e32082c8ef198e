//! Every example of every magic runs, and help shows for each.

use crate::session::Notebook;
use spinbot::{JobState, JobView};
use spinbot_magics::registry;

/// An example that would plan a job is run with `--dry-run`: computing it is for the house's own tests.
fn without_computing(cell: &str, plans: bool) -> String {
    let (head, rest) = cell.split_once('\n').unwrap_or((cell, ""));
    let dry = if plans && !cell.contains("--dry-run") { " --dry-run" } else { "" };
    format!("{head}{dry}\n{rest}")
}

fn notebook() -> Notebook {
    let mut notebook = Notebook::new();
    notebook.script(
        r#"case "$1" in capabilities) echo '{"software":"spinbot","groups":[]}';; *) echo "$*";; esac"#,
    );
    let job = JobView { job: "0f2k9c3ma7qx".into(), state: JobState::Running, ..JobView::default() };
    notebook.engine.jobs.borrow_mut().push(job);
    notebook
}

#[test]
fn every_example_runs_and_shows_something() {
    for magic in registry() {
        assert!(!magic.examples().is_empty(), "%{} has no example", magic.name());
        let plans = magic.args().iter().any(|arg| arg.name == "dry-run");
        for example in magic.examples() {
            let mut notebook = notebook();
            // What was left behind by a cell above.
            for name in ["takes", "hellos"] {
                notebook.leave_takes(name);
            }
            let cell = without_computing(example.cell, plans);
            assert_eq!(notebook.error(&cell), "no error", "{cell}");
            assert!(!notebook.seen.is_empty(), "{cell} showed nothing");
        }
    }
}

#[test]
fn every_magic_explains_itself() {
    for magic in registry() {
        for question in [format!("%{}?", magic.name()), format!("?{}", magic.name())] {
            let mut notebook = notebook();
            assert_eq!(notebook.error(&question), "no error");
            let text = notebook.text();
            assert!(text.contains(magic.summary()), "{text}");
            for arg in magic.args() {
                assert!(text.contains(arg.help), "{} is missing in {text}", arg.name);
            }
            assert!(notebook.shown[0].data.contains_key("text/markdown"));
        }
        assert!(magic.summary().ends_with('.') && !magic.summary().contains('\n'), "%{}", magic.name());
    }
    let mut notebook = notebook();
    assert_eq!(notebook.error("%render --portrait me.jpg --help"), "no error");
    assert!(notebook.text().starts_with(
        "%render [TOPIC] [--portrait IMAGE] [--bot LORA[:WEIGHT]] [--stage PROMPT] [--speech CLIP] [--text WORDS] [--tone casual|formal"
    ));
}

#[test]
fn the_registry_is_sorted_and_without_doubles() {
    let names: Vec<&str> = registry().iter().map(|magic| magic.name()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(names, sorted);
}

#[test]
fn lsmagic_lists_all() {
    let mut notebook = notebook();
    notebook.run("%lsmagic").unwrap();
    for magic in registry() {
        let name = format!("%{}", magic.name());
        assert!(notebook.text().contains(&name) && notebook.html().contains(&name), "{name}");
    }
}

#[test]
fn time_runs_the_code_as_it_stands_and_then_says_how_long() {
    for (cell, code) in [
        ("%time f(\"a  b\", '\\'', {x}) // --help", "eval f(\"a  b\", '\\'', {x}) // --help"),
        ("%%time\nlet a = 1;\n%jobs\n", "eval let a = 1;\n%jobs\n"),
    ] {
        let mut notebook = notebook();
        notebook.run(cell).unwrap();
        assert_eq!(notebook.seen[0], code);
        assert!(notebook.seen[1].starts_with("Stdout wall time: "), "{:?}", notebook.seen);
    }
    // The user's own error passes through as it is, and no time is told.
    let mut notebook = notebook();
    assert_eq!(notebook.error("%time broken"), "CompilationError: broken");
    assert_eq!(notebook.seen.len(), 1);
}

#[test]
fn rust_and_magics_run_in_order_up_to_the_first_failure() {
    let mut notebook = notebook();
    notebook.run("let a = 1;\n%cancel 0f2k\nlet b = 2;\n%time b").unwrap();
    let order: Vec<&str> = notebook.seen.iter().filter_map(|line| line.get(..6)).collect();
    assert_eq!(order, ["eval l", "Stdout", "eval l", "eval b", "Stdout"]);

    let mut notebook = self::notebook();
    notebook.error("let a = 1;\n%nope\nlet b = 2;");
    assert_eq!(notebook.seen, ["eval let a = 1;\n"]);
}

#[test]
fn a_job_is_cancelled_by_the_beginning_of_its_id() {
    let mut notebook = notebook();
    let other = JobView { job: "0f2k9d".into(), ..JobView::default() };
    notebook.engine.jobs.borrow_mut().push(other);
    notebook.run("%cancel 0f2k9c").unwrap();
    assert_eq!(*notebook.engine.seen.borrow(), ["cancel 0f2k9c3ma7qx"]);
    let error = notebook.error("%cancel 0f2k");
    assert!(error.contains("begins more than one job") && error.contains("        ^^^^"), "{error}");
    let error = notebook.error("%cancel zzz");
    assert!(error.contains("there is no job zzz") && error.contains("help: `%jobs`"), "{error}");
}

#[test]
fn bash_streams_what_it_prints_and_fails_with_its_status() {
    let mut notebook = notebook();
    notebook.run("%%bash\ncat hello.wav; echo oops >&2").unwrap();
    let mut seen = notebook.seen.clone();
    seen.sort();
    assert_eq!(seen, ["Stderr oops\n", "Stdout hello.wav"]);

    let error = notebook.error("%%bash\nexit 3");
    assert!(error.starts_with("error: the script failed with exit status: 3\n  |\n1 | %%bash"), "{error}");

    // What it leaves running is left running.
    notebook.run("%%bash\n(sleep 0.3; touch later) >/dev/null 2>&1 &").unwrap();
    let later = notebook.folder.path().join("later");
    assert!((0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        later.exists()
    }));

    // Stopped after it closed its outputs.
    let mut notebook = self::notebook();
    notebook.stop_when = Some("quiet");
    assert_eq!(notebook.error("%%bash\nexec >&- 2>&-; sleep 0.2; touch quiet; sleep 600"), "interrupted");

    // Stopped: the script is gone with what it started.
    let mut notebook = self::notebook();
    notebook.stop_when = Some("ready");
    assert_eq!(notebook.error("%%bash\nsleep 600 & echo $! > pid; mv pid ready; wait"), "interrupted");
    let pid = std::fs::read_to_string(notebook.folder.path().join("ready")).unwrap();
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // A killed process ends when it is next scheduled, and stays as a zombie until whoever adopted it collects it.
    let ended = || stat().is_empty() || stat().contains(") Z ");
    let gone = (0..500).any(|_| {
        ended() || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            false
        }
    });
    assert!(gone, "{}", stat());
}
