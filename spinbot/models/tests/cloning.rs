//! Cloning against the real networks, in a few steps: towards a stock voice, whose own speech is the recording.

#![allow(clippy::unwrap_used)]

mod common;

use spinbot_models::cloning::{
    Adaptation, Inversion, SOUND, StepReport, adapt, invert, lesson, moved, stock_prints, style_spread,
};
use spinbot_models::kokoro::voice::{StockVoices, VoicePack};
use spinbot_models::kokoro::{Decoder, Features, Kokoro, Noise, Pitch, vocab};
use spinbot_models::listen::{SpeakerEncoder, Voiceprint};
use spinbot_models::{Device, Store};

/// "These days a chicken leg is a rare dish." and "Help the woman get back to her feet."
const SENTENCES: [&str; 2] =
    ["ðˌiz dˈAz ɐ ʧˈɪkən lˈɛɡ ɪz ɐ ɹˈɛɹ dˈɪʃ.", "hˈɛlp ðə wˈʊmən ɡɛt bˈæk tə hɜɹ fˈit."];

struct Networks {
    kokoro: Kokoro,
    decoder: Decoder,
    encoder: SpeakerEncoder,
    voices: StockVoices,
}

impl Networks {
    fn load() -> Self {
        let store = Store::open(common::cache_dir()).unwrap();
        let device = Device::cpu();
        Networks {
            kokoro: Kokoro::load(&store, &device).expect(common::FETCH),
            decoder: Decoder::open(&store, &device).expect(common::FETCH),
            encoder: SpeakerEncoder::load(&device).unwrap(),
            voices: StockVoices::open(&store).expect(common::FETCH),
        }
    }

    fn print(&self, name: &str) -> Voiceprint {
        stock_prints().unwrap().into_iter().find(|print| print.voice.name == name).unwrap().ge2e
    }

    fn say(&self, pack: &VoicePack, phonemes: &str) -> (Features, Vec<f32>) {
        let tokens = vocab::encode(phonemes).ids;
        let style = pack.style(tokens.len() - 2);
        let features = Features::from(self.kokoro.prosody(&tokens, style, 1.0).unwrap());
        let sound: [f32; SOUND] = style[..SOUND].try_into().unwrap();
        let samples = self.decoder.audio(&features, &sound, None, Noise::Seed(1)).unwrap();
        (features, samples)
    }
}

fn mean(steps: &[StepReport], value: fn(&StepReport) -> f32) -> f32 {
    steps.iter().map(value).sum::<f32>() / steps.len() as f32
}

#[test]
fn a_search_comes_nearer_to_another_voice_and_is_the_same_each_time() {
    let networks = Networks::load();
    let base = networks.voices.pack("am_michael").unwrap();
    let target = networks.print("af_bella");
    let sentences = SENTENCES.map(|phonemes| vocab::encode(phonemes).ids);
    let spread = style_spread(&networks.voices).unwrap();
    let search = |steps: usize, stop_after: usize| {
        let inversion = Inversion {
            kokoro: &networks.kokoro,
            decoder: &networks.decoder,
            encoder: &networks.encoder,
            base: &base,
            target: &target,
            pitch: Some(Pitch { mean: 190.0_f32.ln(), spread: 0.15 }),
            sentences: &sentences,
            spread: &spread,
            steps,
            crop: 48,
            rate: 0.2,
            pull: 0.03,
            seed: 7,
        };
        let mut heard = Vec::new();
        let offset = invert(&inversion, &mut |step| {
            heard.push(step);
            heard.len() < stop_after
        });
        (offset.unwrap(), heard)
    };
    let (offset, heard) = search(16, 100);
    assert_eq!(heard.iter().map(|step| step.done).collect::<Vec<_>>(), (1..=16).collect::<Vec<_>>());
    // As many steps in each sentence on both sides.
    let (before, after) = (mean(&heard[..4], |s| s.similarity), mean(&heard[12..], |s| s.similarity));
    assert!(after > before + 0.05, "similarity went from {before} to {after}");
    assert!(offset.iter().all(|value| value.is_finite()) && offset.iter().any(|value| *value != 0.0));
    let pack = moved(&base, &offset).unwrap();
    assert!((pack.style(30)[5] - base.style(30)[5] - offset[5]).abs() < 1e-6);
    assert_eq!(pack.style(30)[SOUND..], base.style(30)[SOUND..], "how it speaks stays");

    // Stopped early it keeps what it has, and the same seed goes the same way.
    let (stopped, three) = search(16, 3);
    assert_eq!(three[..], heard[..3]);
    assert_ne!(stopped, offset);
}

#[test]
fn a_lesson_finds_the_speakers_durations_and_adapters_learn_from_it() {
    let networks = Networks::load();
    let base = networks.voices.pack("af_heart").unwrap();
    let speaker = networks.voices.pack("bf_emma").unwrap();
    let tokens = vocab::encode(SENTENCES[0]).ids;
    let (features, samples) = networks.say(&speaker, SENTENCES[0]);
    let truth = networks.kokoro.prosody(&tokens, speaker.style(tokens.len() - 2), 1.0).unwrap().durations;
    let lesson = lesson(&networks.kokoro, &networks.decoder, &base, &tokens, &samples, &features.f0).unwrap();
    let found = lesson.durations();
    assert_eq!(found.iter().sum::<usize>(), samples.len() / 600);
    // Boundaries of tokens, in units of 25 ms, against what the speaker's own network held.
    let ends = |held: &[usize]| {
        held.iter()
            .scan(0, |at, held| {
                *at += held;
                Some(*at as f64)
            })
            .collect::<Vec<_>>()
    };
    let off: Vec<f64> = ends(found).iter().zip(ends(&truth)).map(|(a, b)| (a - b).abs()).collect();
    let mean_off = off.iter().sum::<f64>() / off.len() as f64;
    assert!(mean_off < 1.6, "boundaries are off by {mean_off} units of 25 ms: {found:?} for {truth:?}");

    let spread = style_spread(&networks.voices).unwrap();
    let target = networks.print("bf_emma");
    let adaptation = Adaptation {
        decoder: &networks.decoder,
        encoder: &networks.encoder,
        base: &base,
        offset: &[0.0; SOUND],
        spread: &spread,
        target: &target,
        lessons: std::slice::from_ref(&lesson),
        rank: 2,
        steps: 12,
        crop: 40,
        seed: 3,
    };
    let mut heard = Vec::new();
    let (_, adapters) = adapt(&adaptation, &mut |step| {
        heard.push(step);
        true
    })
    .unwrap();
    let (before, after) = (mean(&heard[..4], |s| s.loss), mean(&heard[8..], |s| s.loss));
    assert!(after < before, "the loss went from {before} to {after}");
    let learned = adapters
        .variables()
        .iter()
        .map(|variable| variable.as_tensor().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap());
    assert!(
        learned.into_iter().all(|largest| largest > 0.0 && largest.is_finite()),
        "an adapter learned nothing"
    );

    let short = spinbot_models::cloning::lesson(
        &networks.kokoro,
        &networks.decoder,
        &base,
        &tokens,
        &samples[..6000],
        &[],
    );
    assert!(short.unwrap_err().to_string().contains("phonemes do not fit in 0.2 s"));
}

#[test]
fn the_stock_prints_built_in_are_those_of_the_stock_voices() {
    let networks = Networks::load();
    let prints = stock_prints().unwrap();
    assert_eq!(prints.len(), 28);
    for name in ["af_heart", "bm_daniel"] {
        let pack = networks.voices.pack(name).unwrap();
        let samples: Vec<f32> = SENTENCES.iter().flat_map(|text| networks.say(&pack, text).1).collect();
        let sound = candle_core::Tensor::new(samples.as_slice(), &candle_core::Device::Cpu).unwrap();
        let heard: Vec<f32> = networks.encoder.embed_tensor(&sound).unwrap().to_vec1().unwrap();
        let heard = Voiceprint(heard.try_into().unwrap());
        let near = |print: &spinbot_models::cloning::StockPrint| print.ge2e.similarity(&heard);
        let nearest = prints.iter().max_by(|a, b| near(a).total_cmp(&near(b))).unwrap();
        assert_eq!(nearest.voice.name, name);
        assert!(near(nearest) > 0.85, "{name}: {}", near(nearest));
    }
}
