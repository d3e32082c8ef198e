#![allow(clippy::unwrap_used, clippy::print_stdout)]
use spinbot_g2p::{Options, phonemize};
use spinbot_media::audio::{AudioCaps, Clip, read, wav_bytes};
use spinbot_models::cloning::*;
use spinbot_models::kokoro::voice::{STOCK, StockVoices, VoicePack};
use spinbot_models::kokoro::*;
use spinbot_models::listen::*;
use spinbot_models::{Device, Store};
use std::time::Instant;

const TRAIN: [&str; 6] = [
    "These days a chicken leg is a rare dish.",
    "The source of the huge river is the clear spring.",
    "Help the woman get back to her feet.",
    "A pot of tea helps to pass the evening.",
    "Smoky fires lack flame and heat.",
    "The soft cushion broke the man's fall.",
];
const TEST: [&str; 3] = [
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
];

fn tokens(text: &str) -> Vec<u32> {
    let speech = phonemize(text, &Options::default()).unwrap();
    vocab::encode(&speech.sentences[0].phonemes).ids
}

fn say(k: &Kokoro, d: &Decoder, pack: &VoicePack, pitch: Option<Pitch>, text: &str) -> Vec<f32> {
    let t = tokens(text);
    let style = pack.style(t.len() - 2);
    let mut f = Features::from(k.prosody(&t, style, 1.0).unwrap());
    if let Some(p) = pitch {
        p.lay_over(&mut f.f0);
    }
    let sound: [f32; 128] = style[..128].try_into().unwrap();
    d.audio(&f, &sound, None, Noise::Seed(1)).unwrap()
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let steps: usize = args[2].parse().unwrap();
    let rate: f64 = args.get(3).map_or(0.06, |x| x.parse().unwrap());
    let crop: usize = args.get(4).map_or(68, |x| x.parse().unwrap());
    let store = Store::open("/work/data/cache".into()).unwrap();
    let device = Device::cpu();
    let t0 = Instant::now();
    let k = Kokoro::load(&store, &device).unwrap();
    let d = Decoder::open(&store, &device).unwrap();
    let e = SpeakerEncoder::load(&device).unwrap();
    let voices = StockVoices::open(&store).unwrap();
    println!("loaded {:?}", t0.elapsed());
    let mut files: Vec<_> = std::fs::read_dir(&args[1]).unwrap().map(|x| x.unwrap().path()).collect();
    files.sort();
    let clips: Vec<Vec<f32>> = files
        .iter()
        .map(|f| read(f, "x", &AudioCaps::default()).unwrap().resampled(16000).unwrap().samples)
        .collect();
    let refs: Vec<&[f32]> = clips[..5].iter().map(|c| &c[..]).collect();
    let held: Vec<&[f32]> = clips[5..].iter().map(|c| &c[..]).collect();
    let target = e.embed_speaker(&refs).unwrap();
    let held = e.embed_speaker(&held).unwrap();
    println!("ref-held {:.3}", target.similarity(&held));
    let test = |pack: &VoicePack, pitch: Option<Pitch>, name: &str| {
        let t = Instant::now();
        let all: Vec<f32> = TEST.iter().flat_map(|s| say(&k, &d, pack, pitch, s)).collect();
        let secs = all.len() as f64 / 24000.0;
        let w = Clip::new(all, 24000);
        let p = e.embed(&w.resampled(16000).unwrap().samples).unwrap();
        println!(
            "{name}: held {:.3} ref {:.3} ({secs:.1} s in {:?})",
            p.similarity(&held),
            p.similarity(&target),
            t.elapsed()
        );
        std::fs::write(format!("/work/data/{name}.wav"), wav_bytes(&w)).unwrap();
        p
    };
    let cache = "/work/data/stock_prints.json";
    let prints: Vec<Vec<f32>> = match std::fs::read(cache) {
        Ok(b) => serde_json::from_slice(&b).unwrap(),
        Err(_) => {
            let p: Vec<Vec<f32>> =
                STOCK.iter().map(|v| test(&voices.pack(v.name).unwrap(), None, v.name).0.to_vec()).collect();
            std::fs::write(cache, serde_json::to_vec(&p).unwrap()).unwrap();
            p
        }
    };
    let best = prints
        .iter()
        .enumerate()
        .map(|(i, p)| (p.iter().zip(&target.0).map(|(a, b)| a * b).sum::<f32>(), i))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap();
    let base = voices.pack(STOCK[best.1].name).unwrap();
    println!("nearest {} {:.3}", STOCK[best.1].name, best.0);
    test(&base, None, "near");
    let pitch = args.get(5).map(|x| {
        let (m, s) = x.split_once(',').unwrap();
        Pitch { mean: m.parse::<f32>().unwrap().ln(), spread: s.parse().unwrap() }
    });
    test(&base, pitch, "near_pitch");
    let spread = style_spread(&voices).unwrap();
    let sentences: Vec<Vec<u32>> = TRAIN.iter().map(|s| tokens(s)).collect();
    let t = Instant::now();
    let mut hist = vec![];
    let offset = invert(
        &Inversion {
            kokoro: &k,
            decoder: &d,
            encoder: &e,
            base: &base,
            target: &target,
            pitch,
            sentences: &sentences,
            spread: &spread,
            steps,
            crop,
            rate,
            pull: 0.03,
            seed: 0,
        },
        &mut |r| {
            hist.push(r.similarity);
            if r.done % 10 == 0 {
                println!(
                    "{} {:.3} {:?}",
                    r.done,
                    hist[hist.len() - 10..].iter().sum::<f32>() / 10.0,
                    t.elapsed()
                );
            }
            true
        },
    )
    .unwrap();
    test(&moved(&base, &offset).unwrap(), pitch, "style");
}
