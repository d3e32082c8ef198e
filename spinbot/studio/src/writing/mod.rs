//! A script from a topic: what a language model is asked, how its answers are judged, and which is taken.
//!
//! | where | what |
//! |---|---|
//! | `brief` | the question, in words, and the form of the answer |
//! | `draft` | an answer, cleaned and judged |
//! | `ollama` | a server that writes |
//!
//! The embedded model is small: it is asked several times, and the best answer is taken. How networks compute is
//! `spinbot-models`' business.

mod brief;
mod draft;
pub(crate) mod ollama;

use crate::loaded;
use crate::step::{Report, StepError, model_fault};
use brief::Brief;
use draft::Draft;
use ollama::Ollama;
use spinbot::Fault;
use spinbot::script::{Attempt, ScriptReport};
use spinbot::steps::WriteScript;
use spinbot_models::language::{LanguageModel, Message, Next, Progress, Request, Sampling};
use std::sync::{Arc, Mutex, PoisonError};

/// Attempts that a local model has: it writes one in a second or two.
const ATTEMPTS: u64 = 4;
/// A draft this good ends the search.
const GOOD: f64 = 0.85;

/// A request as any writer takes it.
pub(crate) struct Ask {
    pub(crate) messages: Vec<Message>,
    pub(crate) schema: serde_json::Value,
    pub(crate) seed: u64,
    pub(crate) temperature: f32,
    pub(crate) most_tokens: usize,
}

/// What a writer wrote.
pub(crate) struct Written {
    /// JSON that fits the schema, or should.
    pub(crate) text: String,
    pub(crate) tokens: usize,
    pub(crate) seconds: f64,
}

/// Who writes.
pub(crate) enum Writer {
    /// A network of ours.
    Local(Arc<Mutex<LanguageModel>>, String),
    /// A server.
    Ollama(Ollama),
}

impl Writer {
    fn title(&self) -> String {
        match self {
            Writer::Local(_, title) => title.clone(),
            Writer::Ollama(ollama) => ollama.title(),
        }
    }

    /// Writes; `heard` is told the text so far and says whether to go on.
    fn write(&self, ask: Ask, heard: &mut dyn FnMut(Progress<'_>) -> Next) -> Result<Written, StepError> {
        match self {
            Writer::Ollama(ollama) => ollama.write(&ask, heard),
            Writer::Local(model, _) => {
                let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
                let request = Request {
                    messages: ask.messages,
                    schema: Some(ask.schema),
                    sampling: Sampling {
                        temperature: ask.temperature,
                        seed: ask.seed,
                        repetition: 1.03,
                        ..Sampling::default()
                    },
                    most_tokens: ask.most_tokens,
                };
                let answer = model.answer(&request, heard).map_err(model_fault)?;
                let answer = answer.ok_or(StepError::Cancelled)?;
                Ok(Written { text: answer.text, tokens: answer.tokens, seconds: answer.seconds })
            }
        }
    }
}

/// The model that writes where nothing else is named, or nothing else answers.
pub(crate) fn smollm2() -> Result<Writer, Fault> {
    let model = loaded::smollm2()?;
    Ok(Writer::Local(model, "SmolLM2 135M".into()))
}

/// Writes a script and tells the text while it grows.
pub(crate) fn write(
    order: &WriteScript,
    writer: &Writer,
    seed: u64,
    notes: &mut Vec<String>,
    report: &mut dyn Report,
) -> Result<ScriptReport, StepError> {
    let brief = Brief::of(order);
    let attempts = match writer {
        Writer::Local(..) => ATTEMPTS,
        // A large model writes well at once, and each of its answers may cost a minute.
        Writer::Ollama(_) => 2,
    };
    let mut best: Option<(f64, Draft)> = None;
    let mut judged = Vec::new();
    let (mut tokens, mut seconds) = (0, 0.0);
    for attempt in 0..attempts {
        report.progress(attempt as f64, attempts as f64, "attempts");
        let mut stopped = false;
        let mut heard = |progress: Progress<'_>| {
            if report.cancelled() {
                stopped = true;
                return Next::Stop;
            }
            let Progress::Writing(text) = progress else { return Next::Go };
            let narration = draft::narration_so_far(text);
            report.text("narration", &narration, false);
            if brief.ends_with(&narration) { Next::Close } else { Next::Go }
        };
        let written = writer.write(brief.ask(seed, attempt), &mut heard);
        if stopped {
            return Err(StepError::Cancelled);
        }
        let written = written?;
        tokens += written.tokens;
        seconds += written.seconds;
        let draft = match Draft::read(&written.text, &brief) {
            Ok(draft) => draft,
            Err(problem) => {
                judged.push(Attempt { score: 0.0, problems: vec![problem], taken: false });
                continue;
            }
        };
        let (score, problems) = draft.judged(&brief);
        report.metric("score", attempt as f64, score);
        judged.push(Attempt { score, problems, taken: false });
        if best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, draft));
        }
        if score >= GOOD {
            break;
        }
    }
    let Some((score, Draft { stage, narration, .. })) = best else {
        let problems: Vec<String> = judged.into_iter().flat_map(|attempt| attempt.problems).collect();
        return Err(Fault::new(format!("{} wrote no script: {}", writer.title(), problems.join("; ")))
            .help("try another --seed, or another --llm")
            .about("llm")
            .into());
    };
    if let Some(taken) = judged.iter_mut().find(|attempt| attempt.score == score) {
        taken.taken = true;
    }
    report.text("narration", &narration, true);
    report.text("stage", &stage, true);
    report.progress(attempts as f64, attempts as f64, "attempts");
    let words = draft::words(&narration).count();
    Ok(ScriptReport {
        stage,
        narration,
        topic: order.topic.clone(),
        words,
        seconds: words as f64 / order.words_per_second,
        llm: writer.title(),
        attempts: judged,
        tokens,
        tokens_per_second: (seconds > 0.0 && tokens > 0).then(|| tokens as f64 / seconds),
        notes: std::mem::take(notes),
    })
}
