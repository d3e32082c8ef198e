//! Speech to learn from: sentences said by Kokoro, with the times of their phonemes.

use flate2::read::ZlibDecoder;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use spinbot_g2p::{Options, phonemize};
use spinbot_media::audio::{Clip, wav_bytes};
use spinbot_models::kokoro::voice::{Accent, STOCK, StockVoice, StockVoices, VoicePack};
use spinbot_models::kokoro::{Decoder, FRAME, Features, Kokoro, LEAD, Noise, SAMPLE_RATE, vocab};
use spinbot_models::{Device, Store, visemes};
use std::io::Read;
use std::ops::Range;
use std::path::Path;

/// Voices that are never learned from. The committed sentences of `tests/fixtures/spoken` are by the first and the last.
pub const HELD_OUT: [&str; 4] = ["af_heart", "am_michael", "bf_emma", "bm_george"];
/// Every so-manyth sentence of the list is kept for the voices that are held out.
const HELD_OUT_SENTENCES: usize = 8;

/// What is said when in one clip.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Utterance {
    /// Whose voice, or whose two.
    pub voice: String,
    /// The text.
    pub text: String,
    /// Symbol, beginning and end in seconds.
    pub phonemes: Vec<(char, f64, f64)>,
}

/// The sentences, and words for the gaps of the templates.
pub struct Texts {
    learned: Vec<String>,
    held_out: Vec<String>,
    words: Vec<String>,
}

/// Sentences with gaps for any word: what follows what in a random word is what the network would else never hear.
const TEMPLATES: [&str; 16] = [
    "The _ of the _ was _, and nobody could _ it.",
    "She said that the _ would _ before the _ came back.",
    "We have _ and _, but there is no _ at all.",
    "Why should a _ be _ when you could _ the _ instead?",
    "If they _ the _, then my _ will be a little _.",
    "Put the _ beside that _, please.",
    "I think it's a _ or perhaps a very _ _.",
    "Both of them were _ by the _ in the _.",
    "Maybe people from _ always _ what they do not _.",
    "He's been _ for five years, which is more than _.",
    "_, _, _ and _.",
    "Oh, how _! You must show me your _.",
    "Before we move on, let me _ about the _ of _.",
    "Who put a _ _ on my father's _?",
    "Their _ was _; our _ wasn't.",
    "From the _ to the _, everything about this _ is _.",
];

/// The checked words of the pronouncing dictionary: those between 3 and 10 small letters.
fn words(dictionary: &[u8]) -> Vec<String> {
    let mut unpacked = Vec::new();
    ZlibDecoder::new(dictionary).read_to_end(&mut unpacked).unwrap();
    // Five columns, each its length and its bytes: alphabet, shared beginnings, rests of keys, kinds, readings.
    let mut columns = Vec::new();
    let mut rest = unpacked.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (column, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        columns.push(column);
        rest = after;
    }
    let (mut key, mut words) = (Vec::new(), Vec::new());
    for ((shared, suffix), kind) in columns[1].iter().zip(columns[2].split(|byte| *byte == 0)).zip(columns[3])
    {
        key.truncate(usize::from(*shared));
        key.extend_from_slice(suffix);
        let plain = (3..=10).contains(&key.len()) && key.iter().all(u8::is_ascii_lowercase);
        if kind & 1 == 0 && plain {
            words.push(String::from_utf8(key.clone()).unwrap());
        }
    }
    words
}

impl Texts {
    /// Of the repository.
    pub fn read() -> Texts {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let sentences = std::fs::read_to_string(root.join("tests/reference/g2p_sentences.txt")).unwrap();
        let sentences = sentences.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let sentences = sentences.map(|line| line.split("||").next().unwrap_or(line).trim().to_owned());
        let (held_out, learned): (Vec<_>, Vec<_>) =
            sentences.enumerate().partition(|(n, _)| n % HELD_OUT_SENTENCES == 0);
        let texts = |list: Vec<(usize, String)>| list.into_iter().map(|(_, text)| text).collect();
        let words = words(&std::fs::read(root.join("spinbot/g2p/data/us.dict")).unwrap());
        Texts { learned: texts(learned), held_out: texts(held_out), words }
    }

    fn learned(&self, random: &mut ChaCha8Rng) -> String {
        if random.random_bool(0.4) {
            return self.learned.choose(random).unwrap().clone();
        }
        let template = TEMPLATES.choose(random).unwrap();
        template
            .chars()
            .map(|c| if c == '_' { self.words.choose(random).unwrap().clone() } else { c.into() })
            .collect()
    }
}

/// Kokoro and its voices.
pub struct Speaker {
    kokoro: Kokoro,
    decoder: Decoder,
    voices: StockVoices,
}

/// How one clip is said.
struct Manner {
    pack: VoicePack,
    voice: String,
    accent: Accent,
    speed: f32,
    /// What the voice's pitch is multiplied by.
    pitch: f32,
}

impl Speaker {
    /// From the store of `$SPINBOT_CACHE`.
    pub fn load() -> Speaker {
        let store = Store::open(std::env::var_os("SPINBOT_CACHE").unwrap().into()).unwrap();
        Speaker {
            kokoro: Kokoro::load(&store, &Device::cpu()).unwrap(),
            decoder: Decoder::open(&store, &Device::cpu()).unwrap(),
            voices: StockVoices::open(&store).unwrap(),
        }
    }

    /// One of the voices learned from, or a blend of two of the same English, at some speed and height.
    fn manner(&self, random: &mut ChaCha8Rng) -> Manner {
        let known: Vec<StockVoice> =
            STOCK.into_iter().filter(|voice| !HELD_OUT.contains(&voice.name)).collect();
        let one = *known.choose(random).unwrap();
        let pack = self.voices.pack(one.name).unwrap();
        let (speed, pitch) = (random.random_range(0.75..1.35), random.random_range(0.85_f32..1.18));
        let other = *known.choose(random).unwrap();
        if other.accent != one.accent || other.name == one.name || random.random_bool(0.4) {
            return Manner { pack, voice: one.name.into(), accent: one.accent, speed, pitch };
        }
        let share = random.random_range(0.25..0.75);
        let second = self.voices.pack(other.name).unwrap();
        let pack = VoicePack::mean([(&pack, share), (&second, 1.0 - share)].into_iter());
        Manner { pack, voice: format!("{}+{}", one.name, other.name), accent: one.accent, speed, pitch }
    }

    /// The clip of that number to learn from.
    pub fn learned(&self, texts: &Texts, number: u64) -> (Clip, Utterance) {
        let mut random = ChaCha8Rng::seed_from_u64(number);
        let text = texts.learned(&mut random);
        let manner = self.manner(&mut random);
        self.say(&text, &manner, &mut random)
    }

    /// The clip of that number to be tested on: voices and sentences that are never learned from.
    pub fn held_out(&self, texts: &Texts, number: u64) -> (Clip, Utterance) {
        let mut random = ChaCha8Rng::seed_from_u64(u64::MAX - number);
        let name = HELD_OUT[number as usize % HELD_OUT.len()];
        let voice = STOCK.into_iter().find(|voice| voice.name == name).unwrap();
        let text =
            &texts.held_out[(number as usize / HELD_OUT.len() * 7 + number as usize) % texts.held_out.len()];
        let manner = Manner {
            pack: self.voices.pack(name).unwrap(),
            voice: name.into(),
            accent: voice.accent,
            speed: random.random_range(0.85..1.15),
            pitch: 1.0,
        };
        self.say(text, &manner, &mut random)
    }

    fn say(&self, text: &str, manner: &Manner, random: &mut ChaCha8Rng) -> (Clip, Utterance) {
        let accent = match manner.accent {
            Accent::American => spinbot_g2p::Accent::Us,
            Accent::British => spinbot_g2p::Accent::Uk,
        };
        let speech = phonemize(text, &Options { accent, ..Options::default() }).unwrap();
        let seconds = |samples: usize| samples as f64 / f64::from(SAMPLE_RATE);
        let mut samples: Vec<f32> = Vec::new();
        let mut utterance =
            Utterance { voice: manner.voice.clone(), text: text.into(), phonemes: Vec::new() };
        for sentence in &speech.sentences {
            let tokens = vocab::encode(&sentence.phonemes);
            let symbols: Vec<char> = sentence.phonemes.chars().collect();
            let style = manner.pack.style(tokens.places.len());
            let prosody = self.kokoro.prosody(&tokens.ids, style, manner.speed).unwrap();
            let durations = prosody.durations.clone();
            let mut features = Features::from(prosody);
            features.f0.iter_mut().filter(|hertz| **hertz > 10.0).for_each(|hertz| *hertz *= manner.pitch);
            let sound = std::array::from_fn(|n| style[n]);
            let noise = Noise::Seed(random.random());
            let audio = self.decoder.audio(&features, &sound, None, noise).unwrap();
            let from = seconds(samples.len());
            let (mut frames, mut marked) = (0, None);
            for (token, held) in durations.iter().enumerate() {
                let begin = (from + seconds(frames * FRAME) - LEAD).max(from);
                frames += held;
                let end = (from + seconds(frames * FRAME) - LEAD).max(from);
                let place = token.checked_sub(1).and_then(|nth| tokens.places.get(nth));
                let Some(symbol) = place.map(|place| symbols[*place]) else { continue };
                // The time of a stress mark is that of the phoneme after it.
                match symbol {
                    'ˈ' | 'ˌ' => marked = marked.or(Some(begin)),
                    _ => utterance.phonemes.push((symbol, marked.take().unwrap_or(begin), end)),
                }
            }
            samples.extend(audio);
            let pause = (sentence.pause_after * SAMPLE_RATE as f32) as usize;
            samples.resize(samples.len() + pause, 0.0);
        }
        let clip = Clip::new(samples, SAMPLE_RATE).resampled(visemes::SAMPLE_RATE).unwrap();
        (clip, utterance)
    }
}

/// Makes in `folder` what is missing of the learned clips of those numbers and of so many that are held out.
pub fn make(folder: &Path, learned: Range<u64>, held_out: u64) {
    std::fs::create_dir_all(folder).unwrap();
    let (speaker, texts) = (Speaker::load(), Texts::read());
    let held_out = (0..held_out).map(|number| (format!("held-out-{number:04}"), true, number));
    let learned = learned.map(|number| (format!("learned-{number:04}"), false, number));
    for (name, kept_back, number) in held_out.chain(learned) {
        let place = folder.join(&name).with_extension("json");
        if place.exists() {
            continue;
        }
        let (clip, utterance) =
            if kept_back { speaker.held_out(&texts, number) } else { speaker.learned(&texts, number) };
        std::fs::write(place.with_extension("wav"), wav_bytes(&clip)).unwrap();
        // The listing comes last and whole: what has one is done.
        let new = place.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&utterance).unwrap()).unwrap();
        std::fs::rename(&new, &place).unwrap();
        println!("{name}: {:.1} s, {}: {}", clip.seconds(), utterance.voice, utterance.text);
    }
}
