//! What Whisper heard: the text in its pieces, with how sure the network was.

/// Mean log-probability of a token under which a piece counts as doubtful. See [`Transcript::confidence`].
pub(crate) const DOUBTFUL: f32 = -1.0;
/// Times a text may shrink when compressed; what shrinks more repeats itself.
pub(crate) const REPETITIVE: f32 = 2.4;
/// Probability of silence above which a doubtful piece is taken for silence.
pub(crate) const SILENT: f32 = 0.6;

/// One piece of a recording, at most 30 s, and what was heard in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// First sample of the piece.
    pub start: usize,
    /// One past its last sample.
    pub end: usize,
    /// What was said; empty where nothing was.
    pub text: String,
    /// Mean natural logarithm of the tokens' probabilities, the end's included: 0 is certain.
    pub avg_logprob: f32,
    /// How probable the network holds it that nobody speaks, 0 to 1.
    pub no_speech_prob: f32,
    /// How many times smaller the text gets by zlib; above 2.4 it repeats itself.
    pub compression_ratio: f32,
    /// At which temperature the text was accepted; 0 is the most probable text.
    pub temperature: f32,
    /// Tokens of the text.
    pub tokens: usize,
}

/// How far a transcript can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confidence {
    /// Nobody was heard to speak.
    Nothing,
    /// Words came out, but the network was unsure of them: noise, mumbling or another language than English.
    Doubtful,
    /// As sure as it is of clear English.
    Clear,
}

/// A whole recording's text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transcript {
    /// Its pieces in order.
    pub segments: Vec<Segment>,
}

impl Transcript {
    /// The whole text.
    pub fn text(&self) -> String {
        let pieces = self.segments.iter().map(|segment| segment.text.as_str());
        pieces.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Mean log-probability over all pieces that have a text, weighted by their tokens; `None` without a text.
    pub fn avg_logprob(&self) -> Option<f32> {
        let spoken = || self.segments.iter().filter(|segment| !segment.text.is_empty());
        let tokens: usize = spoken().map(|segment| segment.tokens).sum();
        let sum: f32 = spoken().map(|segment| segment.avg_logprob * segment.tokens as f32).sum();
        (tokens > 0).then(|| sum / tokens as f32)
    }

    /// Whether the text can be trusted. tiny.en knows no language but English and no token that says so: it writes
    /// English-looking words for any speech, only less surely.
    pub fn confidence(&self) -> Confidence {
        let Some(logprob) = self.avg_logprob() else { return Confidence::Nothing };
        let tokens: usize = self.segments.iter().map(|segment| segment.tokens).sum();
        // A piece of music or hum gives a sure "you" together with a sure silence; speech stays under 0.2.
        let weighted = |segment: &Segment| segment.no_speech_prob * segment.tokens as f32;
        if self.segments.iter().map(weighted).sum::<f32>() > SILENT * tokens as f32 {
            return Confidence::Nothing;
        }
        let repeating = self.segments.iter().filter(|segment| segment.compression_ratio > REPETITIVE);
        let repeating: usize = repeating.map(|segment| segment.tokens).sum();
        match logprob < UNSURE || repeating * 2 > tokens {
            true => Confidence::Doubtful,
            false => Confidence::Clear,
        }
    }
}

/// Mean log-probability under which a transcript is [`Confidence::Doubtful`]. LibriSpeech's hardest clip has -0.54;
/// German, Spanish, French and Polish by a synthesiser stay under -1 at every temperature, its English has -0.37.
const UNSURE: f32 = -0.8;
