//! The voices there are: profiles with what is known of them, stock voices by accent and sex.

use super::{QUIET, Source, audio, escape, table_of_html};
use spinbot::voices::{Accent, Sex, Voices};
use spinbot::{Bundle, Show};

/// Every voice. `samples` are the bytes and MIME type of each profile's clone, where there is room for a player.
pub(crate) fn voices(voices: &Voices, samples: &[Option<(Vec<u8>, &str)>]) -> Bundle {
    let players = samples.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    let rows: Vec<Vec<String>> = voices
        .profiles
        .iter()
        .zip(players)
        .map(|(profile, sample)| {
            let player = sample.map_or(String::new(), |(bytes, mime)| {
                let player = audio(&Source::Inline(bytes), mime);
                format!("<div style=\"width:280px\">{player}</div>")
            });
            vec![
                format!("<code>{}</code>", escape(profile.name())),
                format!(
                    "{}<br><span style=\"{QUIET}\">{}</span>",
                    escape(&profile.summary()),
                    escape(profile.consent())
                ),
                escape(profile.accent().title()),
                player,
            ]
        })
        .collect();
    let profiles = match rows.is_empty() {
        true => format!(
            "<div style=\"{QUIET}\">No voice of your own yet: \
             <code>%clone_voice me.wav --consent \"my own voice\"</code> makes one.</div>"
        ),
        false => table_of_html(&["voice", "what it is", "speaks", ""], &rows),
    };
    let damaged: String =
        voices.damaged.iter().map(|fault| format!("<div>{}</div>", escape(&fault.message))).collect();
    let presets: Vec<String> =
        voices.presets.iter().map(|voice| format!("<code>{}</code>", escape(&voice.name))).collect();
    let presets = match presets.is_empty() {
        true => String::new(),
        false => format!(
            "<div style=\"margin:10px 0 2px\"><b>voices of your models</b></div><div>{}</div>",
            presets.join(" ")
        ),
    };
    let groups = [
        (Accent::Us, Sex::Female),
        (Accent::Us, Sex::Male),
        (Accent::Uk, Sex::Female),
        (Accent::Uk, Sex::Male),
    ];
    let stock: Vec<Vec<String>> = groups
        .iter()
        .map(|(accent, sex)| {
            let of = voices.stock.iter().filter(|voice| (voice.accent, voice.sex) == (*accent, *sex));
            let names: Vec<String> = of.map(|voice| format!("<code>{}</code>", escape(voice.id))).collect();
            vec![format!("{}, {}", accent.title(), sex.name()).replace(' ', "\u{a0}"), names.join(" ")]
        })
        .collect();
    let html = format!(
        "<div style=\"max-width:760px\">{profiles}{damaged}{presets}<div style=\"margin:10px 0 2px\"><b>stock voices</b></div>{}\
         <div style=\"{QUIET}\">Mix them: <code>--voice af_heart:0.6+am_echo:0.4</code></div></div>",
        table_of_html(&[], &stock)
    );
    voices.bundle().with("text/html", html)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spinbot::models::{AddedModel, PresetVoice};
    use spinbot::{Digest, Fault};

    #[test]
    fn stock_voices_are_grouped_and_damaged_profiles_told() {
        let model = AddedModel {
            id: "<mine>".into(),
            path: "mine.safetensors".into(),
            sha256: Digest("0".repeat(64)),
        };
        let preset = PresetVoice { name: "<mine>/alba".into(), path: "alba.safetensors".into(), model };
        let there = Voices {
            profiles: Vec::new(),
            presets: vec![preset],
            damaged: vec![Fault::new("<bad>.safetensors: this is not a voice")],
            stock: spinbot::voices::STOCK,
        };
        let shown = voices(&there, &[]);
        let html = shown.data["text/html"].as_str().unwrap();
        for wanted in [
            "No voice of your own yet",
            "&lt;bad&gt;",
            "<code>&lt;mine&gt;/alba</code>",
            "British\u{a0}English,\u{a0}male",
            "<code>bm_lewis</code>",
        ] {
            assert!(html.contains(wanted), "`{wanted}` is missing in {html}");
        }
        assert_eq!(html.matches("<code>a").count() + html.matches("<code>b").count(), 28);
        assert!(shown.data["text/plain"].as_str().unwrap().contains("bm_lewis"));
    }
}
