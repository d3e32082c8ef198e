//! A text that was said: the player, the waveform with its words, what it took, and its subtitles.

use super::waveform::waveform;
use super::{QUIET, Source, audio, escape, subtitles, table_of_html};
use crate::wav::Samples;
use spinbot::{Bundle, SpeechTiming};

/// Speech to show.
pub(crate) struct SpokenCard<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) mime: &'a str,
    /// The beginning of the sound, to draw.
    pub(crate) sound: Option<&'a Samples>,
    pub(crate) timing: &'a SpeechTiming,
    /// WebVTT.
    pub(crate) subtitles: &'a str,
    /// Facts under it, name and value.
    pub(crate) facts: &'a [(&'a str, String)],
    /// What terminals show.
    pub(crate) text: String,
}

impl SpokenCard<'_> {
    pub(crate) fn bundle(&self) -> Bundle {
        let drawn = self.sound.map_or(String::new(), |sound| waveform(sound, self.timing));
        let facts: Vec<Vec<String>> =
            self.facts.iter().map(|(name, value)| vec![escape(name), escape(value)]).collect();
        let subtitles = subtitles(self.subtitles).map_or(String::new(), |subtitles| {
            format!("<details><summary>subtitles (WebVTT)</summary>{subtitles}</details>")
        });
        let html = format!(
            "<div style=\"max-width:760px\">{player}{drawn}<div style=\"{QUIET}\">{table}{subtitles}</div></div>",
            player = audio(&self.source, self.mime),
            table = table_of_html(&[], &facts),
        );
        Bundle::text(self.text.clone()).with("text/html", html)
    }
}

/// The player of what can be heard before the job is done.
pub(crate) fn sound_preview(name: &str, mime: &str, content: &[u8]) -> Bundle {
    let what = match name {
        "sentence" => "the first sentence; the rest is on its way".to_owned(),
        other => other.replace('_', " "),
    };
    let player = audio(&Source::Inline(content), mime);
    let html = format!("<div><span style=\"{QUIET}\">{}</span>{player}</div>", escape(&what));
    Bundle::text(what).with("text/html", html)
}

#[cfg(test)]
mod tests {
    use super::super::LONGEST_SUBTITLES;
    use super::super::waveform::tests::speech;
    use super::*;

    #[test]
    fn speech_is_shown_with_its_player_words_and_facts() {
        let (sound, timing) = speech(&["a", "<b>"], 0.5);
        let facts = [("voice", "me & you".to_owned())];
        let mut card = SpokenCard {
            source: Source::Inline(b"wav"),
            mime: "audio/wav",
            sound: Some(&sound),
            timing: &timing,
            subtitles: "WEBVTT\n\n00:00.000 --> 00:01.000\na <b>\n",
            facts: &facts,
            text: "spoken: 1.0 s".into(),
        };
        let shown = card.bundle();
        let html = shown.data["text/html"].as_str().unwrap();
        for wanted in [
            "<audio controls",
            "src=\"data:audio/wav;base64,d2F2\"",
            "me &amp; you",
            "--&gt;",
            "a &lt;b&gt;",
            "svg+xml",
        ] {
            assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
        }
        for banned in ["<source", "<svg", "<b>", "autoplay"] {
            assert!(!html.contains(banned), "`{banned}` is in {html}");
        }
        assert_eq!(shown.data["text/plain"], "spoken: 1.0 s");
        let long = "x".repeat(LONGEST_SUBTITLES + 1);
        card.subtitles = &long;
        (card.sound, card.source) = (None, Source::Beside("spinbot media/a.mp3"));
        let html = card.bundle().data["text/html"].to_string();
        assert!(html.contains("spinbot%20media/a.mp3") && html.len() < 2000, "{html}");
    }

    #[test]
    fn a_preview_says_what_it_is() {
        let shown = sound_preview("sentence", "audio/wav", b"wav");
        assert!(shown.data["text/plain"].as_str().unwrap().contains("first sentence"));
        assert!(sound_preview("<x>", "audio/wav", b"").data["text/html"].to_string().contains("&lt;x&gt;"));
    }
}
