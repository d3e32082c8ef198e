//! Real voices said by a photo, the mouth moved by their sound alone: what the frames show of what is said, by forced
//! alignment.

use crate::articulation::truth;
use crate::chain::{Chain, fixture};
use crate::talking_head::{correlation, lagged, seen_apertures};
use spinbot::timing::{SpeechTiming, TimedPhoneme};
use spinbot_media::{mp4, video};
use spinbot_studio::Motion;
use std::collections::BTreeMap;

const FPS: f64 = 25.0;
/// The clips in fixtures and notebooks that are aligned, by their paths in the repository.
const CLIPS: [&str; 4] = [
    "tests/fixtures/hello.flac",
    "tests/fixtures/voices/1688-142285-0002.flac",
    "tests/fixtures/voices/1688-142285-0003.flac",
    "notebooks/media/voices/1688/1688-142285-0007.flac",
];

/// When everything is said in that clip (tests/reference/visemes.py).
fn aligned(path: &str) -> SpeechTiming {
    let text = std::fs::read(fixture("../reference/visemes.json")).unwrap();
    let clips: BTreeMap<String, Vec<(char, f64, f64)>> = serde_json::from_slice(&text).unwrap();
    let said = clips[path].iter();
    let phonemes = said.map(|&(symbol, start, end)| TimedPhoneme { symbol, start, end, stress: 1 });
    SpeechTiming { phonemes: phonemes.collect(), ..SpeechTiming::default() }
}

#[test]
fn lips_follow_recorded_speech_by_what_is_said() {
    let chain = Chain::new("recorded");
    let (mut seen, mut drawn, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    let (mut labials, mut shut) = (0, 0);
    for path in CLIPS {
        chain.render(fixture("portraits/astronaut.png"), fixture("../..").join(path), 384, false);
        let motion: Motion = serde_json::from_slice(&chain.bytes("motion")).unwrap();
        let frames = video::decode(&mp4::read_video(&chain.bytes("video")).unwrap()).unwrap();
        let timing = aligned(path);
        let count = motion.frames.len();
        let apertures: Vec<f64> = motion.frames.iter().map(|frame| f64::from(frame.aperture())).collect();
        for phoneme in timing.phonemes.iter().filter(|p| "pbm".contains(p.symbol) && p.end - p.start > 0.04) {
            let within = |i: &usize| {
                let middle = (*i as f64 + 0.5) / FPS;
                phoneme.start - 0.02 <= middle && middle <= phoneme.end + 0.02
            };
            labials += 1;
            shut += usize::from((0..count).filter(within).any(|i| apertures[i] < 0.05));
        }
        let clip = (seen_apertures(&frames), apertures, truth(&timing, count));
        chain.note(&format!(
            "{path}: seen {:.3}, drawn {:.3}",
            correlation(&clip.0, &clip.2),
            correlation(&clip.1, &clip.2)
        ));
        seen.extend(clip.0);
        drawn.extend(clip.1);
        wanted.extend(clip.2);
    }
    let by_lag: Vec<f64> = (-3..=3).map(|lag| lagged(&seen, &wanted, lag)).collect();
    let best = (-3..=3).zip(&by_lag).max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    let figures = format!(
        "what is seen against what is said: lags -3..3 {by_lag:.3?}; drawn {:.3}; {shut} of {labials} p b m shut",
        correlation(&drawn, &wanted)
    );
    chain.note(&figures);
    // Exact times of phonemes give 0.70 on synthetic speech: a mouth is slower than what it says.
    assert!(by_lag[3] >= 0.65 && best == 0, "{figures}");
    assert!(shut * 10 >= labials * 6, "{figures}");
}
