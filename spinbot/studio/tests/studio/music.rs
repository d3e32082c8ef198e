//! Music under a real voice: how loud it is beside it, and what is refused.

use crate::chain::{Chain, Told, fixture};
use spinbot::steps::{MixMusic, ReadSpeech};
use spinbot_media::audio::{self, Clip};
use spinbot_studio::StepError;

/// A chord far above most of the voice.
fn chord(seconds: f64) -> Clip {
    let at = |i: usize, hertz: f64| (i as f64 / 24_000.0 * hertz * std::f64::consts::TAU).sin();
    let count = (seconds * 24_000.0) as usize;
    Clip::new((0..count).map(|i| (0.2 * (at(i, 7000.0) + at(i, 8750.0))) as f32).collect(), 24_000)
}

/// Root mean square of what lies above 6 kHz in that part, by the difference of differences.
fn high(clip: &Clip, from: f64, to: f64) -> f64 {
    let part = &clip.samples[(from * 48_000.0) as usize..(to * 48_000.0) as usize];
    let tone = |hertz: f64| {
        let sum = |f: fn(f64) -> f64| {
            let turned = part.iter().enumerate();
            turned
                .map(|(i, s)| f64::from(*s) * f(i as f64 / 48_000.0 * hertz * std::f64::consts::TAU))
                .sum::<f64>()
        };
        sum(f64::sin).hypot(sum(f64::cos)) / part.len() as f64
    };
    tone(7000.0).hypot(tone(8750.0))
}

#[test]
fn music_is_looped_under_the_words_and_louder_in_the_pauses() {
    let chain = Chain::new("music");
    let voice = audio::read(&fixture("voices/1688-142285-0002.flac"), "voice", &Default::default()).unwrap();
    let spoken = voice.seconds();
    let silence = vec![0.0; 3 * voice.rate as usize];
    let samples = [silence.clone(), voice.samples.clone(), silence].concat();
    std::fs::write(chain.path("speech"), audio::wav_bytes(&Clip::new(samples, voice.rate))).unwrap();
    std::fs::write(chain.path("music"), audio::wav_bytes(&chord(2.5))).unwrap();
    let read = |name| (name, chain.path(name));
    let evened = chain.attempt(&ReadSpeech { max_seconds: 60.0 }, &[read("speech")], &mut Told::default());
    std::fs::write(chain.path("speech"), &evened.unwrap()[0].bytes).unwrap();
    let inputs = [read("speech"), read("music")];
    let mut told = Told::default();
    let made = chain.attempt(&MixMusic::default(), &inputs, &mut told).unwrap();
    assert_eq!(told.progress.last(), Some(&(3.0, 3.0)));
    std::fs::write(chain.path("mixed"), &made[0].bytes).unwrap();
    let mixed = audio::read_bytes(made[0].bytes.clone(), "mixed", &Default::default()).unwrap();
    assert!((mixed.seconds() - spoken - 6.0).abs() < 0.01 && mixed.rate == 48_000);
    let loudness = mixed.loudness().unwrap();
    assert!((loudness + 16.0).abs() < 0.5 && mixed.peak() < 0.9, "{loudness} LUFS, peak {}", mixed.peak());
    let (pause, words) = (high(&mixed, 1.2, 2.4), high(&mixed, 3.5, 3.0 + spoken - 0.5));
    let ducked = 20.0 * (pause / words).log10();
    chain.note(&format!("ducked by {ducked:.1} dB"));
    // The phase of the chord jumps at the seams of the loop, which takes a little of it.
    assert!((6.0..11.0).contains(&ducked), "ducked by {ducked:.1} dB");
    assert!(high(&mixed, 0.0, 0.05) < 0.1 * pause, "no fade in");

    std::fs::write(chain.path("music"), audio::wav_bytes(&Clip::silence(3.0, 24_000))).unwrap();
    let refused = chain.attempt(&MixMusic::default(), &inputs, &mut Told::default());
    let Err(StepError::Fault(fault)) = refused else { panic!("silent music was mixed") };
    assert!(fault.message.contains("the music is silent") && fault.help.is_some(), "{fault}");
    assert_eq!(fault.argument.as_deref(), Some("music"));
}
