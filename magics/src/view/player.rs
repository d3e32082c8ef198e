//! A finished video: the player, its poster, and a few facts under it.

use super::{QUIET, Source, data_uri, escape, subtitles, table_of_html};
use spinbot::Bundle;

/// A video to show.
pub(crate) struct Player<'a> {
    pub(crate) source: Source<'a>,
    /// JPEG shown before it plays, and where nothing plays.
    pub(crate) poster: Option<&'a [u8]>,
    /// CSS pixels, narrower where the notebook is; nothing for the video's own.
    pub(crate) width: Option<u32>,
    /// WebVTT to read beside it.
    pub(crate) subtitles: Option<&'a str>,
    /// Facts under it, name and value.
    pub(crate) facts: &'a [(&'a str, String)],
    /// What terminals show.
    pub(crate) text: String,
}

/// How many bytes of HTML a video and its poster take inside the output.
pub(crate) fn inline_size(video: u64, poster: u64) -> u64 {
    // Base64 makes four of three; the player's own markup stays below two thousand.
    (video + poster).div_ceil(3) * 4 + 2_000
}

impl Player<'_> {
    /// The player as HTML, the poster as JPEG for places without HTML, and the text.
    pub(crate) fn bundle(&self) -> Bundle {
        let source = self.source.uri("video/mp4");
        let poster =
            self.poster.map_or(String::new(), |jpeg| format!(" poster=\"{}\"", data_uri("image/jpeg", jpeg)));
        let facts: Vec<Vec<String>> =
            self.facts.iter().map(|(name, value)| vec![escape(name), escape(value)]).collect();
        let subtitles = self.subtitles.and_then(subtitles).map_or(String::new(), |words| {
            format!("<div style=\"display:inline-block;vertical-align:top;margin:0 0 0 12px\">{words}</div>")
        });
        // `src` on the element itself: the sanitiser strips `<source>` in untrusted notebooks.
        let html = format!(
            "<div><video controls loop preload=\"auto\"{width} style=\"display:{display};max-width:100%\"\
             {poster} src=\"{source}\"></video>{subtitles}<div style=\"{QUIET}\">{table}</div></div>",
            width = self.width.map_or(String::new(), |pixels| format!(" width=\"{pixels}\"")),
            display = if subtitles.is_empty() { "block" } else { "inline-block;vertical-align:top" },
            table = table_of_html(&[], &facts),
        );
        let text = self.subtitles.map_or(self.text.clone(), |words| format!("{}\n\n{words}", self.text));
        let bundle = Bundle::text(text).with("text/html", html);
        match self.poster {
            Some(jpeg) => bundle.with_bytes("image/jpeg", jpeg),
            None => bundle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_survives_the_sanitiser_and_carries_its_poster() {
        let facts = [("length", "8.0 s".to_owned()), ("job", "<0f2k>".to_owned())];
        let mut player = Player {
            source: Source::Inline(b"mp4"),
            poster: Some(b"jpg"),
            subtitles: None,
            width: Some(512),
            facts: &facts,
            text: "take: 8.0 s".into(),
        };
        let shown = player.bundle();
        let html = shown.data["text/html"].as_str().unwrap();
        for wanted in [
            "<video controls",
            " width=\"512\" ",
            " poster=\"data:image/jpeg;base64,anBn\"",
            " src=\"data:video/mp4;base64,bXA0\"",
            "&lt;0f2k&gt;",
        ] {
            assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
        }
        assert!(!html.contains("<source"), "{html}");
        assert_eq!(shown.data["image/jpeg"], "anBn");
        assert_eq!(shown.data["text/plain"], "take: 8.0 s");
        assert!(html.len() as u64 <= inline_size(3, 3));

        player.source = Source::Beside("spinbot media/a\"b.mp4");
        player.poster = None;
        player.subtitles = Some("WEBVTT\n\n00:00.000 --> 00:01.000\na <b>\n");
        let shown = player.bundle();
        let html = shown.data["text/html"].as_str().unwrap();
        assert!(html.contains(" src=\"spinbot%20media/a%22b.mp4\""), "{html}");
        assert!(!shown.data.contains_key("image/jpeg"));
        assert!(html.contains("--&gt;") && html.contains("a &lt;b&gt;") && !html.contains("<b>"), "{html}");
        assert!(shown.data["text/plain"].as_str().unwrap().ends_with("a <b>\n"));
    }
}
