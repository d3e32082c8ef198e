//! A script: where it is said, what is said, and how it came about.

use super::{FRAME, QUIET, escape};
use spinbot::script::Attempt;
use spinbot::{Bundle, Script, Show};

/// The script as it can be read, with what is known of it.
pub(crate) fn script(script: &Script, name: &str) -> Bundle {
    let report = script.report();
    let speed = report.tokens_per_second.map_or(String::new(), |rate| format!(", {rate:.0} tokens a second"));
    let facts = [
        format!("{} words, about {:.0} s", report.words, report.seconds),
        format!("by {}, {} tokens{speed}", report.llm, report.tokens),
        attempts(&report.attempts),
        format!("variable {name}"),
    ];
    let notes: String = report
        .notes
        .iter()
        .map(|note| {
            format!(
                "<div style=\"margin:4px 0;color:#b00020;color:var(--jp-warn-color0, #b00020)\">{}</div>",
                escape(note)
            )
        })
        .collect();
    let html = format!(
        "<div style=\"max-width:44em;padding:8px 12px;{FRAME}\">{notes}\
         <div style=\"{QUIET}\">Stage: <b>{stage}</b></div>\
         <div style=\"font-size:115%;line-height:1.5;margin:6px 0\">{narration}</div>\
         <div style=\"{QUIET}\">{facts}</div></div>",
        stage = escape(script.stage()),
        narration = escape(script.narration()),
        facts = escape(&facts.join(" · ")),
    );
    let plain: String = report.notes.iter().map(|note| format!("{note}\n\n")).collect();
    let shown = script.bundle();
    let text = shown.data.get("text/plain").and_then(|text| text.as_str()).unwrap_or_default();
    Bundle::text(format!("{plain}{text}\n\n{}", facts.join(", "))).with("text/html", html)
}

/// What the checks thought of the one that was taken, and of how many.
fn attempts(attempts: &[Attempt]) -> String {
    let Some(taken) = attempts.iter().find(|attempt| attempt.taken) else { return "not judged".to_owned() };
    let count = match attempts.len() {
        1 => "the first attempt".to_owned(),
        count => format!("the best of {count} attempts"),
    };
    let problems = match taken.problems.is_empty() {
        true => String::new(),
        false => format!(" ({})", taken.problems.join(", ")),
    };
    format!("{count}, rated {:.2}{problems}", taken.score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_shown_with_what_went_wrong_and_escaped() {
        let report = serde_json::json!({
            "stage": "in <space>", "narration": "Hello & <b>welcome</b>.", "topic": "t", "words": 2, "seconds": 0.8,
            "llm": "SmolLM2", "tokens": 30, "tokens_per_second": 81.6, "notes": ["Ollama does <not> answer."],
            "attempts": [
                {"score": 0.2, "problems": ["it repeats"], "taken": false},
                {"score": 0.7, "problems": ["2 words for 50"], "taken": true},
            ],
        });
        let json = serde_json::json!({"job": "0f2k", "report": report, "made_in": 1.0}).to_string();
        let shown = script(&Script::from_json(&json).unwrap(), "tea");
        let html = shown.data["text/html"].as_str().unwrap();
        for part in [
            "in &lt;space&gt;",
            "Hello &amp; &lt;b&gt;welcome",
            "Ollama does &lt;not&gt; answer.",
            "82 tokens a second",
            "the best of 2 attempts, rated 0.70 (2 words for 50)",
            "variable tea",
        ] {
            assert!(html.contains(part), "`{part}` is missing in {html}");
        }
        let text = shown.data["text/plain"].as_str().unwrap();
        assert!(text.starts_with("Ollama does <not> answer.\n\nStage: in <space>\n\nHello &"), "{text}");
    }
}
