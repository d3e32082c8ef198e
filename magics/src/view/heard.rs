//! What was heard in a recording.

use super::{QUIET, escape, seconds, table_of_html};
use spinbot::{Bundle, Heard, Show, listen::Likeness};

/// How far DNSMOS reaches.
const BEST: f64 = 5.0;
/// Voices that are named.
const NAMED: usize = 3;

/// The words, and what can be told of how they were said.
pub(crate) fn heard(heard: &Heard, name: &str) -> Bundle {
    let words = match heard.transcript.trim() {
        "" => format!("<span style=\"{QUIET}\">no words were heard</span>"),
        words => format!("“{}”", escape(words)),
    };
    let mut facts = vec![
        ("length", seconds(heard.seconds)),
        ("sure of the words", format!("{:.0}%", heard.confidence * 100.0)),
        (
            "quality (DNSMOS)",
            format!(
                "{:.2} of {BEST:.0}: speech {:.2}, background {:.2}",
                heard.dnsmos.overall, heard.dnsmos.signal, heard.dnsmos.background
            ),
        ),
        ("speakers", heard.speakers.to_string()),
    ];
    if let Some(snr) = heard.snr {
        facts.push(("speech above noise", format!("{snr:.0} dB")));
    }
    if let Some(pitch) = heard.pitch {
        facts.push(("pitch", format!("{:.0} Hz ± {:.1} semitones", pitch.hz, pitch.semitones)));
    }
    let like = |near: &Likeness| {
        format!("{} (GE2E {:.2}, second encoder {:.2})", near.voice, near.ge2e, near.dvector)
    };
    facts.extend(heard.profiles.iter().map(|profile| ("like the profile", like(profile))));
    let near: Vec<String> = heard.nearest.iter().take(NAMED).map(like).collect();
    if !near.is_empty() {
        facts.push(("most like", near.join("; ")));
    }
    facts.extend(heard.warnings.iter().map(|warning| ("note", warning.clone())));
    facts.push(("variable", name.to_owned()));
    let rows: Vec<Vec<String>> =
        facts.iter().map(|(name, value)| vec![escape(name), escape(value)]).collect();
    let html = format!(
        "<div style=\"max-width:760px\"><div style=\"font-size:115%;margin:4px 0\">{words}</div>\
         <div style=\"{QUIET}\">{}</div></div>",
        table_of_html(&[], &rows)
    );
    heard.bundle().with("text/html", html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_described_and_its_words_escaped() {
        let mut report = Heard::from_json(
            r#"{"seconds": 8.0, "transcript": " he said <hello> ", "confidence": 0.912,
                "dnsmos": {"overall": 3.1, "signal": 3.5, "background": 4.0}, "snr": 31.4,
                "pitch": {"hz": 118.0, "semitones": 2.9}, "speakers": 1,
                "nearest": [{"voice": "am_echo", "ge2e": 0.68, "dvector": 0.49}], "warnings": ["it is <loud>"]}"#,
        )
        .unwrap();
        let shown = heard(&report, "heard");
        let html = shown.data["text/html"].as_str().unwrap();
        for wanted in [
            "“he said &lt;hello&gt;”",
            "91%",
            "3.10 of 5",
            "31 dB",
            "118 Hz",
            "am_echo",
            "it is &lt;loud&gt;",
        ] {
            assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
        }
        assert!(shown.data["text/plain"].as_str().unwrap().contains("he said <hello>"));
        report.transcript = "  ".into();
        report.pitch = None;
        let html = heard(&report, "heard").data["text/html"].to_string();
        assert!(html.contains("no words were heard") && !html.contains("Hz"), "{html}");
    }
}
