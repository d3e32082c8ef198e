//! Words no dictionary holds: a network says each letter's phonemes. `recipe/network.py` makes the weights.
//!
//! Four convolutions read the letters; a GRU goes along them and chooses for each a chunk of nought to three phonemes,
//! knowing what it chose before. A small beam keeps the likeliest whole words.

use std::sync::OnceLock;

use crate::Accent;
use crate::weights::{Convolution, Matrix, Weights};

/// Letters read at once; what is longer is said in pieces.
const LONGEST: usize = 24;
/// Words kept while going along the letters.
const BEAM: usize = 4;

/// The network.
pub(crate) struct Speller {
    letters: Matrix,
    accents: Matrix,
    convolutions: Vec<Convolution>,
    said: Matrix,
    input: Matrix,
    hidden: Matrix,
    input_bias: Vec<f32>,
    hidden_bias: Vec<f32>,
    out: Matrix,
    out_bias: Vec<f32>,
    chunks: Vec<String>,
}

/// A word half said.
#[derive(Clone)]
struct Path {
    score: f32,
    state: Vec<f32>,
    chunks: Vec<usize>,
}

impl Speller {
    /// The network, read once and kept.
    pub fn get() -> &'static Self {
        static SPELLER: OnceLock<Speller> = OnceLock::new();
        SPELLER.get_or_init(|| {
            let mut weights = Weights::embedded(include_bytes!("../data/unknown.safetensors"));
            let chunks = weights.notes.get("chunks").map(|c| c.split('\n').map(str::to_owned).collect());
            Self {
                letters: weights.matrix("letters.weight"),
                accents: weights.matrix("accents.weight"),
                convolutions: (0..4)
                    .map(|i| Convolution::take(&mut weights, &format!("convs.{i}")))
                    .collect(),
                said: weights.matrix("chunks.weight"),
                input: weights.matrix("gru.weight_ih_l0"),
                hidden: weights.matrix("gru.weight_hh_l0"),
                input_bias: weights.vector("gru.bias_ih_l0"),
                hidden_bias: weights.vector("gru.bias_hh_l0"),
                out: weights.matrix("out.weight"),
                out_bias: weights.vector("out.bias"),
                chunks: chunks.unwrap_or_default(),
            }
        })
    }

    /// The phonemes of a word of letters `a` to `z` and apostrophes; other characters are passed over.
    pub fn say(&self, word: &str, accent: Accent) -> String {
        let letters: Vec<usize> = word.bytes().filter_map(letter).collect();
        letters.chunks(LONGEST).map(|part| self.say_part(part, accent, BEAM)).collect()
    }

    fn say_part(&self, letters: &[usize], accent: Accent, beam_width: usize) -> String {
        let width = self.convolutions[0].width();
        let accent = match accent {
            Accent::Us => 0,
            Accent::Uk => 1,
        };
        let embed = |&letter: &usize| {
            let mut x = vec![0.0; width];
            self.letters.add_row(letter, &mut x);
            self.accents.add_row(accent, &mut x);
            x
        };
        // A mark, number 0, stands at each end.
        let mut x: Vec<Vec<f32>> = [&[0], letters, &[0]].concat().iter().map(embed).collect();
        for convolution in &self.convolutions {
            x = convolution.residual(&x);
        }
        let start = Path { score: 0.0, state: vec![0.0; self.hidden_bias.len() / 3], chunks: Vec::new() };
        let mut beam = vec![start];
        for x in &x[1..=letters.len()] {
            beam = self.step(x, beam, beam_width);
        }
        let best = beam.into_iter().next();
        best.map_or_else(String::new, |p| p.chunks.iter().map(|&c| self.chunks[c].as_str()).collect())
    }

    /// Every path one letter on; the best ones, best first.
    fn step(&self, x: &[f32], beam: Vec<Path>, beam_width: usize) -> Vec<Path> {
        let mut next = Vec::new();
        for path in beam {
            let before = path.chunks.last().copied().unwrap_or(self.said.rows() - 1);
            let state = self.advance(x, before, &path.state);
            let mut scores = self.out_bias.clone();
            self.out.add_product(0, &state, &mut scores);
            let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let total = top + scores.iter().map(|s| (s - top).exp()).sum::<f32>().ln();
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            for &chunk in order.iter().take(beam_width) {
                let mut chunks = path.chunks.clone();
                chunks.push(chunk);
                next.push(Path { score: path.score + scores[chunk] - total, state: state.clone(), chunks });
            }
        }
        next.sort_by(|a, b| b.score.total_cmp(&a.score));
        next.truncate(beam_width);
        next
    }

    /// One step of the GRU (gates in PyTorch's order: reset, update, new).
    fn advance(&self, x: &[f32], before: usize, state: &[f32]) -> Vec<f32> {
        let mut input = x.to_vec();
        let from = input.len();
        input.resize(self.input.columns(), 0.0);
        self.said.add_row(before, &mut input[from..]);
        let (mut a, mut b) = (self.input_bias.clone(), self.hidden_bias.clone());
        self.input.add_product(0, &input, &mut a);
        self.hidden.add_product(0, state, &mut b);
        let n = state.len();
        let sigmoid = |v: f32| 1.0 / (1.0 + (-v).exp());
        (0..n)
            .map(|i| {
                let reset = sigmoid(a[i] + b[i]);
                let update = sigmoid(a[n + i] + b[n + i]);
                let new = (a[2 * n + i] + reset * b[2 * n + i]).tanh();
                (1.0 - update) * new + update * state[i]
            })
            .collect()
    }
}

/// The number of a letter; 0 is the mark at the ends.
fn letter(byte: u8) -> Option<usize> {
    match byte.to_ascii_lowercase() {
        b @ b'a'..=b'z' => Some(usize::from(b - b'a') + 1),
        b'\'' => Some(27),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::print_stdout)]
    use super::*;

    fn distance(a: &str, b: &str) -> usize {
        let b: Vec<char> = b.chars().collect();
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (i, x) in a.chars().enumerate() {
            let mut before = std::mem::replace(&mut row[0], i + 1);
            for (j, &y) in b.iter().enumerate() {
                let best = (before + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
                before = std::mem::replace(&mut row[j + 1], best);
            }
        }
        row[b.len()]
    }

    /// Words of families the network never saw; `recipe/network.py` wrote them with PyTorch's own answers.
    #[test]
    fn held_out_words_are_said_as_well_as_pytorch_says_them() {
        let mut same = 0;
        for (name, accent) in [("us", Accent::Us), ("gb", Accent::Uk)] {
            let (mut words, mut wrong, mut unstressed, mut errors, mut phones) = (0, 0, 0, 0, 0);
            for line in include_str!("../tests/held_out.tsv").lines() {
                let fields: Vec<&str> = line.split('\t').collect();
                let [of, word, want, pytorch] = fields[..] else { panic!("{line}") };
                if of != name {
                    continue;
                }
                let letters: Vec<usize> = word.bytes().filter_map(letter).collect();
                same += usize::from(Speller::get().say_part(&letters, accent, 1) == pytorch);
                let got = Speller::get().say(word, accent);
                let bare = |s: &str| s.replace(['ˈ', 'ˌ'], "");
                words += 1;
                wrong += usize::from(got != want);
                unstressed += usize::from(bare(&got) != bare(want));
                errors += distance(&got, want);
                phones += want.chars().count();
            }
            let share = |n: usize, of: usize| n as f64 / of as f64;
            println!(
                "{name}: {words} words, {:.3} wrong, {:.3} but for stress, {:.4} of phonemes",
                share(wrong, words),
                share(unstressed, words),
                share(errors, phones)
            );
            assert_eq!(words, 600);
            assert!(share(errors, phones) < 0.10 && share(wrong, words) < 0.42);
        }
        // Rounding may tip a near tie.
        assert!(same >= 1194, "{same} of 1200 as PyTorch");
    }

    #[test]
    fn odd_words_have_an_end() {
        for word in ["", "'", "zzzzzzzz", "q", "日本"] {
            assert!(Speller::get().say(word, Accent::Us).chars().count() <= 3 * word.len());
        }
    }
}
