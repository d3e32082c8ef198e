//! `%script`: what is said and where, from a topic.

use crate::error::Failure;
use crate::spec::{Arg, BodyKind, DETACH, DEVICE, DRY_RUN, Example, Kind, SEED, SPEED, named};
use crate::{Call, Magic, Session, follow, leave, view};
use spinbot::models::AddedModels;
use spinbot::script::{DEFAULT_LLM, OLLAMA_URL, SCRIPT_SECONDS};
use spinbot::steps::Tone;
use spinbot::{Fault, Plan, ScriptWriter};

pub(crate) struct Script;

/// In which manner; `%render` takes it too, as those below.
pub(crate) const TONE: Arg =
    Arg::flag("tone", "TONE", Kind::Choice(Tone::NAMES), "In which manner a script is written.")
        .default("casual");
/// Who speaks.
pub(crate) const PERSONA: Arg =
    Arg::flag("persona", "TEXT", Kind::Text, "Who speaks a script, as `a tired lighthouse keeper`.");
/// How long it takes to say.
pub(crate) const SECONDS: Arg = Arg::flag(
    "seconds",
    "N",
    Kind::Number { min: *SCRIPT_SECONDS.start(), max: *SCRIPT_SECONDS.end() },
    "How long a script should take to say.",
)
.default("20");
/// Who writes.
pub(crate) const LLM: Arg = Arg::flag(
    "llm",
    "MODEL",
    Kind::Model,
    "Who writes: smollm2, a GGUF file by the name it was added under, or a model of Ollama's as `ollama:NAME`.",
)
.default(DEFAULT_LLM);
/// Where Ollama is.
pub(crate) const OLLAMA: Arg =
    Arg::flag("ollama", "URL", Kind::Text, "Where Ollama listens, when OLLAMA_HOST does not say it.")
        .default(OLLAMA_URL);
/// Whether that may be another machine.
pub(crate) const ALLOW_REMOTE: Arg =
    Arg::switch("allow-remote", "Let Ollama be on another machine: topic and persona are sent there.");

const ARGS: &[Arg] = &[
    Arg::positional("topic", "TOPIC", Kind::Text, "What it is about, in a line.").required(),
    TONE,
    PERSONA,
    SECONDS,
    Arg::flag("speed", "X", SPEED, "How fast it will be said; 1 is the voice's own.").default("1.0"),
    LLM,
    OLLAMA,
    ALLOW_REMOTE,
    Arg::flag(
        "base",
        "MODEL",
        Kind::Model,
        "The model that will draw the stage: the one built in is given one that it can draw.",
    ),
    Arg::switch("edit", "Put the script into a cell below, to be changed and rendered."),
    named("script"),
    SEED,
    DEVICE,
    DRY_RUN,
    DETACH,
];

impl Magic for Script {
    fn name(&self) -> &'static str {
        "script"
    }

    fn summary(&self) -> &'static str {
        "Writes what a bot says and where it stands, from a topic."
    }

    fn details(&self) -> &'static str {
        "A language model on this machine writes; its words appear while it does. It is held to a form, asked several \
         times, and the best answer by simple checks (length, topic, repetition) is taken. Leaves a Rust variable of \
         type `spinbot::Script`: `script.narration()` and `script.stage()`. The same in Rust: \
         `spinbot::script(\"why octopuses have three hearts\").seconds(20.0).run()?`.\n\n\
         smollm2 is fetched once with `%models pull smollm2` (98 MB) and is small: plain prose, not always true. Any \
         GGUF file of Llama's, Mistral's, Qwen2's or Qwen3's family writes after `spinbot models add FILE.gguf`; a \
         model of Ollama's as `--llm ollama:NAME`. Where Ollama does not answer, smollm2 writes instead, and the card \
         says so."
    }

    fn args(&self) -> &'static [Arg] {
        ARGS
    }

    fn body(&self) -> BodyKind {
        BodyKind::Toml
    }

    fn examples(&self) -> &'static [Example] {
        &[
            Example {
                cell: "%script \"why octopuses have three hearts\"",
                about: "Write 20 seconds; `script` holds them.",
            },
            Example {
                cell: "%script \"the history of tea\" --tone playful --persona \"a talking teapot\" --seconds 12 --seed 3 --edit",
                about: "Another manner, and a cell below to change it in.",
            },
            Example {
                cell: "%script \"black holes\" --llm ollama:llama3.2 --as holes",
                about: "A larger model, by Ollama.",
            },
        ]
    }

    fn instead_of(&self, given: &str) -> Option<String> {
        (!given.starts_with('-')).then(|| "put the whole topic into quotes".to_owned())
    }

    fn run(&self, call: &Call, cx: &mut dyn Session) -> Result<(), Failure> {
        let fault = |fault: Fault| Failure::from(call.fault(fault));
        let plan = plan(call, cx.profiles().models().clone()).map_err(fault)?;
        let Some((display_id, view)) = follow::run(plan, call, cx)? else { return Ok(()) };
        let name = call.text("as").unwrap_or("script").to_owned();
        let script = spinbot::Script::of(&view).map_err(fault)?;
        // First the variable: a card that cannot be shown must not lose the script.
        leave::from_json("spinbot::Script", &script.to_json().map_err(fault)?, &name, call, cx)?;
        cx.update(&display_id, &view::script(&script, &name));
        if call.has("edit") {
            cx.next_cell(&editable(&script));
        }
        Ok(())
    }
}

/// The script that a call of this magic, or of `%render`, asks for.
pub(crate) fn ordered(call: &Call, models: AddedModels) -> ScriptWriter {
    let mut script = spinbot::script(call.text("topic").unwrap_or_default()).models(models);
    // Choices and ranges were checked when the line was read.
    if let Some(tone) = call.text("tone").and_then(|name| name.parse().ok()) {
        script = script.tone(tone);
    }
    if let Some(persona) = call.text("persona") {
        script = script.persona(persona);
    }
    if let Some(seconds) = call.number("seconds") {
        script = script.seconds(seconds);
    }
    if let Some(llm) = call.text("llm") {
        script = script.llm(llm);
    }
    if let Some(url) = call.text("ollama") {
        script = script.ollama(url);
    }
    if call.has("allow-remote") {
        script = script.allow_remote();
    }
    script
}

fn plan(call: &Call, models: AddedModels) -> Result<Plan, Fault> {
    let mut script = ordered(call, models);
    if let Some(speed) = call.number("speed") {
        script = script.speed(speed);
    }
    if let Some(base) = call.text("base") {
        script = script.base(base);
    }
    if let Some(device) = call.text("device") {
        script = script.device(device);
    }
    if let Some(seed) = call.int("seed").and_then(|seed| u64::try_from(seed).ok()) {
        script = script.seed(seed);
    }
    script.plan()
}

/// A cell that renders the script, a sentence a line, to be changed.
fn editable(script: &spinbot::Script) -> String {
    let text = script.narration().replace('\\', "\\\\").replace('"', "\\\"");
    let text = text.replace(". ", ".\n").replace("! ", "!\n").replace("? ", "?\n");
    format!("%%render\n# stage: {}\nportrait = \"me.jpg\"\ntext = \"\"\"\n{text}\n\"\"\"\n", script.stage())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cell_to_edit_holds_the_narration_word_for_word() {
        let narration = r#"He said "no\way"! Then he left. Why?"#;
        let report = serde_json::json!({
            "stage": "in space", "narration": narration, "topic": "t", "words": 7, "seconds": 3.0, "llm": "x",
            "attempts": [], "tokens": 9, "tokens_per_second": null, "notes": [],
        });
        let script = serde_json::json!({"job": "0f2k", "report": report, "made_in": 1.0}).to_string();
        let cell = editable(&spinbot::Script::from_json(&script).unwrap());
        let body = cell.strip_prefix("%%render\n").unwrap();
        let table: toml::Table = body.parse().unwrap();
        let text = table["text"].as_str().unwrap();
        assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" "), narration);
        assert!(cell.contains("# stage: in space"), "{cell}");
    }
}
