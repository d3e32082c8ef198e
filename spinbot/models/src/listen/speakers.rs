//! Whether one person speaks in a recording or several: its speaker prints, parted into the two groups that fit best.

use super::ge2e::SpeakerEncoder;
use super::voiceprint::{Voiceprint, mean_voiceprint};
use crate::error::Result;

/// The smaller group must hold this share of the windows, and as many windows at least, to be a person.
const SHARE: f64 = 0.15;
const WINDOWS: usize = 2;

/// How a recording's windows of 1.6 s part into two groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoVoices {
    /// How alike the two groups' middles are, -1 to 1.
    pub similarity: f32,
    /// Share of the windows in the smaller group, 0 to 0.5.
    pub smaller: f64,
    /// How many windows there were.
    pub windows: usize,
}

impl TwoVoices {
    /// Under this similarity of the two groups they are two people. Of LibriSpeech's readers, 3 s and 3 s after
    /// another: one reader's groups have 0.775 to 0.897, two readers' 0.452 to 0.805;
    /// with the conditions on the smaller group it finds 43 of 48 pairs and takes none of 24 single readers for two.
    pub const THRESHOLD: f32 = 0.75;

    /// Whether more than one person speaks. Says no where there is too little speech to tell.
    pub fn several(&self) -> bool {
        self.similarity < Self::THRESHOLD
            && self.smaller >= SHARE
            && self.smaller * self.windows as f64 >= WINDOWS as f64 - 1e-9
    }
}

impl SpeakerEncoder {
    /// Parts the recording's windows into the two groups that fit best. Give it speech without its pauses
    /// ([`super::Activity::speech_only`]): windows of silence are nobody's.
    ///
    /// # Errors
    /// As [`SpeakerEncoder::embed`].
    pub fn two_voices(&self, speech: &[f32]) -> Result<TwoVoices> {
        let prints: Vec<Voiceprint> =
            self.embed_partials(speech)?.into_iter().map(|(_, print)| print).collect();
        Ok(part(&prints))
    }
}

/// Two-means on the sphere, begun at the pair that is furthest apart.
fn part(prints: &[Voiceprint]) -> TwoVoices {
    let windows = prints.len();
    // A long recording is thinned for the search of the pair, which looks at all of them.
    let few = || prints.iter().step_by(windows.div_ceil(400).max(1));
    let pairs = few().flat_map(|a| few().map(move |b| (a, b)));
    let furthest = pairs.min_by(|x, y| x.0.similarity(x.1).total_cmp(&y.0.similarity(y.1)));
    let one = TwoVoices { similarity: 1.0, smaller: 0.0, windows };
    let Some((&a, &b)) = furthest.filter(|(a, b)| a != b) else { return one };
    let mut middles = [a, b];
    let mut sizes = [0, 0];
    for _ in 0..20 {
        let near = |print: &&Voiceprint| print.similarity(&middles[0]) >= print.similarity(&middles[1]);
        let (first, second): (Vec<&Voiceprint>, Vec<&Voiceprint>) = prints.iter().partition(near);
        if first.is_empty() || second.is_empty() {
            return one;
        }
        sizes = [first.len(), second.len()];
        let next = [mean_voiceprint(first), mean_voiceprint(second)];
        if next == middles {
            break;
        }
        middles = next;
    }
    let smaller = sizes[0].min(sizes[1]) as f64 / windows as f64;
    TwoVoices { similarity: middles[0].similarity(&middles[1]), smaller, windows }
}
