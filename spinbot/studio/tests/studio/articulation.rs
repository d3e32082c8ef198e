//! A synthetic voice whose phonemes' times are exact, said by a photo: what the frames show of them.

use crate::chain::{Chain, fixture};
use crate::talking_head::{correlation, lagged, seen_apertures};
use spinbot::timing::SpeechTiming;
use spinbot_media::{mp4, video};
use spinbot_studio::Motion;

const FPS: f64 = 25.0;

/// How open a mouth is for a phoneme, told by phonetics alone: 0 closed, 1 as open as in "father".
fn openness(symbol: char) -> f64 {
    match symbol {
        'ɑ' | 'a' | 'æ' | 'I' | 'W' => 1.0,
        'ʌ' | 'ɔ' | 'ɒ' | 'ɛ' | 'A' | 'O' | 'Y' => 0.65,
        'ə' | 'ɜ' | 'ɪ' | 'Q' => 0.45,
        'i' | 'u' | 'ʊ' | 'ᵻ' | 'ᵊ' => 0.3,
        'p' | 'b' | 'm' => 0.0,
        c if c.is_alphabetic() => 0.2,
        _ => 0.0,
    }
}

/// The mean openness of what is said during each frame; joints between words up to 0.1 s are bridged.
pub fn truth(timing: &SpeechTiming, frames: usize) -> Vec<f64> {
    const STEPS: usize = 40;
    let spoken: Vec<_> = timing.phonemes.iter().filter(|p| p.symbol.is_alphabetic()).collect();
    let at = |t: f64| {
        let next = spoken.partition_point(|p| p.end <= t);
        let (before, here) = (next.checked_sub(1).and_then(|i| spoken.get(i)), spoken.get(next));
        match (before, here) {
            (_, Some(p)) if p.start <= t => openness(p.symbol),
            (Some(a), Some(b)) if b.start - a.end <= 0.1 => (openness(a.symbol) + openness(b.symbol)) / 2.0,
            _ => 0.0,
        }
    };
    let mean = |i: usize| {
        let sum: f64 = (0..STEPS).map(|k| at((i as f64 + (k as f64 + 0.5) / STEPS as f64) / FPS)).sum();
        sum / STEPS as f64
    };
    (0..frames).map(mean).collect()
}

/// What was seen and wanted, frame by frame.
struct Film {
    seen: Vec<f64>,
    wanted: Vec<f64>,
}

impl Film {
    fn of(chain: &Chain) -> Self {
        let motion: Motion = serde_json::from_slice(&chain.bytes("motion")).unwrap();
        let track = mp4::read_video(&chain.bytes("video")).unwrap();
        let frames = video::decode(&track).unwrap();
        assert_eq!(frames.len(), motion.frames.len());
        let wanted = motion.frames.iter().map(|f| f64::from(f.aperture())).collect();
        Film { seen: seen_apertures(&frames), wanted }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn check(name: &str) {
    let speech = || fixture(&format!("spoken/{name}.flac"));
    let file = fixture(&format!("spoken/{name}.timing.json"));
    let portrait = || fixture("portraits/astronaut.png");
    let timing: SpeechTiming = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let heard = Chain::new(&format!("{name}-heard"));
    heard.render(portrait(), speech(), 512, false);
    let timed = Chain::new(&format!("{name}-timed"));
    timed.render_timed(portrait(), speech(), file, 512);
    let (by_sound, by_time) = (Film::of(&heard), Film::of(&timed));

    let lags: Vec<f64> = (-3..=3).map(|lag| lagged(&by_time.seen, &by_time.wanted, lag)).collect();
    let frames = by_time.seen.len();
    let truth = truth(&timing, frames);
    let to_truth = [&by_sound.seen, &by_time.seen].map(|seen| correlation(seen, &truth));
    let told = [&by_sound.wanted, &by_time.wanted].map(|wanted| correlation(wanted, &truth));

    // Frames by what is said in the middle of their exposure.
    let at_middle = |wanted: &dyn Fn(char) -> bool| -> Vec<usize> {
        let middle = |i: usize| (i as f64 + 0.5) / FPS;
        let says = |i: usize| {
            timing.phonemes.iter().any(|p| wanted(p.symbol) && p.start <= middle(i) && middle(i) <= p.end)
        };
        (0..frames).filter(|i| says(*i)).collect()
    };
    let (closed, open) = (at_middle(&|c| "pbm".contains(c)), at_middle(&|c| openness(c) >= 0.65));
    let seen_in =
        |film: &Film, frames: &[usize]| mean(&frames.iter().map(|i| film.seen[*i]).collect::<Vec<_>>());
    let widest = closed.iter().map(|i| by_time.seen[*i]).fold(0.0, f64::max);
    let figures = format!(
        "{name}: r = {:.3} at lag 0, lags -3..3 {lags:.3?}; against the phonemes, seen: by sound {:.3}, by time \
         {:.3}; drawn: {:.3}, {:.3}; {} frames of p b m: by time {:.3} (widest {widest:.3}), by sound {:.3}; {} of \
         mid and open vowels: by time {:.3}, by sound {:.3}",
        lags[3],
        to_truth[0],
        to_truth[1],
        told[0],
        told[1],
        closed.len(),
        seen_in(&by_time, &closed),
        seen_in(&by_sound, &closed),
        open.len(),
        seen_in(&by_time, &open),
        seen_in(&by_sound, &open),
    );
    timed.note(&figures);
    let by_lag: Vec<f64> = (-2..=2).map(|lag| lagged(&by_time.wanted, &truth, lag)).collect();
    timed.note(&format!("drawn against the phonemes, lags -2..2: {by_lag:.3?}"));
    timed.note(&format!("seen {:.3?}", by_time.seen));

    assert!(lags[3] >= 0.93 && lags.iter().all(|r| *r <= lags[3]), "{figures}");
    // By sound alone it is nearly as good as by exact times: the network never heard these voices.
    assert!(to_truth[0] > to_truth[1] - 0.2, "{figures}");
    // Every p, b and m longer than 40 ms is closed in every frame it has, and shorter ones are seen too.
    for phoneme in timing.phonemes.iter().filter(|p| "pbm".contains(p.symbol)) {
        let middle = (phoneme.start + phoneme.end) / 2.0;
        let nearest = ((middle * FPS) as usize).min(frames - 1);
        assert_eq!(by_time.wanted[nearest], 0.0, "{phoneme:?} is open in frame {nearest}");
    }
    assert!(closed.len() >= 8 && open.len() >= 8, "{figures}");
    assert!(closed.iter().all(|i| by_time.wanted[*i] == 0.0), "{figures}");
    assert!(widest < 0.10 && seen_in(&by_time, &closed) < 0.06, "{figures}");
    assert!(seen_in(&by_time, &open) > 3.0 * seen_in(&by_time, &closed), "{figures}");
}

#[test]
fn lips_follow_an_american_voice_phoneme_by_phoneme() {
    check("boat");
}

#[test]
fn lips_follow_a_british_voice_phoneme_by_phoneme() {
    check("room");
}
