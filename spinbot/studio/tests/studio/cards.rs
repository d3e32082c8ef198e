//! A card before and after a talking portrait.

use crate::chain::{Chain, Told, fixture};
use spinbot::SpeechTiming;
use spinbot::steps::AddCards;
use spinbot_media::{RgbImage, audio, mp4, video};
use spinbot_studio::StepError;

/// Mean difference of two frames, 0 to 255.
fn apart(a: &RgbImage, b: &RgbImage) -> f64 {
    let sum: u64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.as_raw().len() as f64
}

#[test]
fn cards_come_before_and_after_the_video_with_silence_and_later_words() {
    let chain = Chain::new("cards");
    let timing = fixture("spoken/boat.timing.json");
    chain.render_timed(fixture("portraits/astronaut.png"), fixture("spoken/boat.flac"), timing.clone(), 256);
    let read = |name: &'static str, output: &str| (name, chain.path(output));
    let inputs = [read("video", "silent_video"), read("speech", "speech"), ("timing", timing.clone())];
    let words = |text: &str| Some(text.to_owned());
    let cards = AddCards { intro: words("Bob and his boat"), outro: words("Thank you"), quantizer: 24 };
    let made = chain.attempt(&cards, &inputs, &mut Told::default()).unwrap();
    for output in &made {
        std::fs::write(chain.path(&format!("cards_{}", output.name)), &output.bytes).unwrap();
    }
    let decoded = |name: &str| video::decode(&mp4::read_video(&chain.bytes(name)).unwrap()).unwrap();
    let (plain, whole) = (decoded("silent_video"), decoded("cards_video"));
    assert_eq!(whole.len(), plain.len() + 100);
    let middle = &whole[50..50 + plain.len()];
    assert!(middle.iter().zip(&plain).all(|(a, b)| a == b), "the video was coded again");
    // Out of black, and into the video without a jump; the same backwards.
    let black = RgbImage::new(256, 256);
    for (edge, seam, inner) in [(0, 49, 50), (whole.len() - 1, whole.len() - 50, whole.len() - 51)] {
        assert!(apart(&whole[edge], &black) < 12.0, "frame {edge}");
        assert!(apart(&whole[seam], &whole[inner]) < 4.0, "frame {seam}");
    }
    assert!(apart(&whole[20], &whole[50]) > 20.0, "the card is no card");

    let (speech, own) = (chain.bytes("cards_speech"), chain.bytes("speech"));
    let read = |bytes| audio::read_bytes(bytes, "speech", &Default::default()).unwrap();
    let (speech, own) = (read(speech), read(own));
    assert!((speech.seconds() - whole.len() as f64 / 25.0).abs() < 1e-3);
    assert!(speech.samples[..96_000].iter().all(|s| *s == 0.0));
    assert_eq!(speech.samples[96_000..][..100_000], own.samples[..100_000]);
    let told: SpeechTiming = serde_json::from_slice(&chain.bytes("cards_timing")).unwrap();
    let said: SpeechTiming = serde_json::from_slice(&std::fs::read(timing).unwrap()).unwrap();
    assert!((told.words[0].start - said.words[0].start - 2.0).abs() < 1e-9);
    assert!(String::from_utf8(chain.bytes("cards_subtitles")).unwrap().contains("00:00:02.280"));

    // A recording's words are not known; one card alone.
    let outro = AddCards { intro: None, ..cards };
    let made = chain.attempt(&outro, &inputs[..2], &mut Told::default()).unwrap();
    assert_eq!(mp4::read_video(&made[0].bytes).unwrap().frames.len(), plain.len() + 50);
    let empty = AddCards { intro: words(" "), ..outro };
    let refused = chain.attempt(&empty, &inputs, &mut Told::default());
    let Err(StepError::Fault(fault)) = refused else { panic!("an empty card was made") };
    assert_eq!(fault.argument.as_deref(), Some("intro"), "{fault}");
}
