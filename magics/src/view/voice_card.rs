//! A cloned voice, honestly: both to hear side by side, where it lies between strangers and its speaker, what was
//! tried and what it cost, and what it is not.

use super::scale::scales;
use super::{FRAME, QUIET, Source, audio, data_uri, escape, seconds, table_of_html};
use spinbot::voices::{Pitch, Stage, TranscriptSource, Verdict};
use spinbot::{Bundle, VoiceProfile};

/// A voice to show.
pub(crate) struct VoiceCard<'a> {
    pub(crate) profile: &'a VoiceProfile,
    /// MIME type of both samples.
    pub(crate) mime: &'a str,
    pub(crate) original: Option<Source<'a>>,
    pub(crate) clone: Option<Source<'a>>,
    /// PNG of both spectrograms.
    pub(crate) picture: Option<&'a [u8]>,
    /// More facts, name and value.
    pub(crate) facts: &'a [(&'a str, String)],
}

/// What every synthetic voice is shown with.
const NOTICE: &str = "This voice is synthetic. Tell those who hear it, and use it only as its owner agreed.";

impl VoiceCard<'_> {
    pub(crate) fn bundle(&self) -> Bundle {
        let scores = self.profile.scores();
        let picture = self.picture.map_or(String::new(), |png| {
            format!(
                "<img alt=\"spectrograms of the original and the clone\" \
                 style=\"display:block;max-width:100%;margin:6px 0\" src=\"{}\">",
                data_uri("image/png", png)
            )
        });
        let html = format!(
            "<div style=\"max-width:760px\"><div style=\"font-size:115%\"><b>{name}</b> {verdict}</div>\
             <div style=\"{QUIET}\">{reason}</div>{players}{picture}{scales}{stages}\
             <div style=\"{QUIET}\">{facts}</div>\
             <div style=\"padding:6px 10px;margin:6px 0;{FRAME}\">{NOTICE}</div></div>",
            name = escape(self.profile.name()),
            verdict = escape(&verdict(self.profile)),
            reason = escape(&reason(self.profile)),
            players = self.players(),
            scales = scales(&scores.ge2e, &scores.dvector),
            stages = stages(self.profile),
            facts = table_of_html(&[], &self.all_facts()),
        );
        let text = format!("{}: {}", self.profile.name(), self.profile.summary());
        Bundle::text(text).with("text/html", html)
    }

    /// Both players, side by side where there is room.
    fn players(&self) -> String {
        let one = |title: &str, source: &Option<Source<'_>>| {
            let player = match source {
                Some(source) => audio(source, self.mime),
                None => format!("<div style=\"{QUIET}\">no sample to play here</div>"),
            };
            let style = "display:inline-block;vertical-align:top;width:49%;min-width:240px;margin-right:1%";
            format!("<div style=\"{style}\"><b>{title}</b>{player}</div>")
        };
        format!(
            "<div style=\"margin:8px 0\">{}{}</div>",
            one("original", &self.original),
            one("clone, saying the same words", &self.clone)
        )
    }

    fn all_facts(&self) -> Vec<Vec<String>> {
        let (profile, scores) = (self.profile, self.profile.scores());
        let pitch = |Pitch { hz, semitones }: Pitch| format!("{hz:.0} Hz ± {semitones:.1} semitones");
        let source = match scores.transcript_source {
            TranscriptSource::Given => "words, as given",
            TranscriptSource::Heard => "words, as heard",
        };
        let clips: Vec<String> = profile.clips().iter().map(|clip| clip.label.clone()).collect();
        let mut facts = vec![
            (
                "speech",
                format!(
                    "{} to learn from, {} kept back to score it",
                    seconds(scores.reference_seconds),
                    seconds(scores.held_out_seconds)
                ),
            ),
            ("clips", shortened(&clips.join(", "))),
            (source, shortened(&scores.transcript)),
            (
                "pitch",
                format!(
                    "speaker {}; clone {}; {} {}",
                    pitch(scores.pitch.speaker),
                    scores.pitch.clone.map_or("none heard".to_owned(), pitch),
                    scores.base,
                    pitch(scores.pitch.base)
                ),
            ),
            ("cost", format!("{} of this machine's time", seconds(scores.seconds))),
            ("consent", profile.consent().to_owned()),
        ];
        let warnings = profile
            .clips()
            .iter()
            .flat_map(|clip| clip.warnings.iter().map(|w| format!("{}: {w}", clip.label)));
        facts.extend(warnings.chain(scores.warnings.iter().cloned()).map(|warning| ("note", warning)));
        facts.extend(self.facts.iter().map(|(name, value)| (*name, value.clone())));
        facts.into_iter().map(|(name, value)| vec![escape(name), escape(&value)]).collect()
    }
}

fn verdict(profile: &VoiceProfile) -> String {
    format!("{} its speaker.", profile.verdict().words())
}

/// The verdict in figures: what it is made of.
fn reason(profile: &VoiceProfile) -> String {
    let scores = profile.scores();
    let percent = |position: f64| format!("{:.0}%", position * 100.0);
    let way = format!(
        "It lies {} of the way from a stranger to the speaker by GE2E and {} by the second encoder, measured on \
         speech it was not made from",
        percent(scores.ge2e.position()),
        percent(scores.dvector.position())
    );
    match profile.verdict() {
        Verdict::SoundsLike => format!("{way}."),
        _ => format!("{way}; from {} on, by both, it would sound like them.", percent(Verdict::SOUNDS_LIKE)),
    }
}

/// What was tried, what was kept and why.
fn stages(profile: &VoiceProfile) -> String {
    let scores = profile.scores();
    let rows: Vec<Vec<String>> = scores
        .stages
        .iter()
        .map(|stage| {
            let name = match stage.stage {
                Stage::NearestStock => format!("{} ({})", stage.stage.title(), scores.base),
                other => other.title().to_owned(),
            };
            let kept = if stage.kept { "kept" } else { "not kept" };
            let steps = if stage.steps == 0 { String::new() } else { stage.steps.to_string() };
            [
                name,
                format!("{:.2}", stage.ge2e),
                format!("{:.2}", stage.dvector),
                format!("{:.0}%", stage.word_error * 100.0),
                format!("{:.2}", stage.dnsmos),
                steps,
                // A duration is not broken over lines.
                seconds(stage.seconds).replace(' ', "\u{a0}"),
                format!("{kept}: {}", stage.why),
            ]
            .iter()
            .map(|cell| match stage.kept {
                true => escape(cell),
                // There to be seen, but not part of the voice.
                false => format!("<span style=\"opacity:0.6\">{}</span>", escape(cell)),
            })
            .collect()
        })
        .collect();
    let columns = [
        "stage",
        "likeness (GE2E)",
        "likeness (second)",
        "words wrong",
        "quality (DNSMOS)",
        "steps",
        "took",
        "outcome",
    ];
    format!("<div style=\"overflow-x:auto;margin:6px 0\">{}</div>", table_of_html(&columns, &rows))
}

/// The beginning of a long text.
fn shortened(text: &str) -> String {
    const MOST: usize = 300;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
