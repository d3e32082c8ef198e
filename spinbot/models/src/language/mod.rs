//! Text that is written by a language model from a GGUF file, in a form that a JSON schema gives.
//!
//! What is asked of it and what makes an answer good is not known here.
//!
//! - `gguf`: the file;
//! - `tokens`, `template`: text and conversations to tokens;
//! - `decoder`: the network;
//! - `constraint`, `sampler`: which token comes next.

mod constraint;
mod decoder;
mod gguf;
mod sampler;
mod template;
#[cfg(test)]
mod tests;
mod tokens;

use crate::Device;
use crate::error::{ModelError, Result};
use constraint::{Constraint, Grammars};
use decoder::Decoder;
use gguf::GgufFile;
use sampler::Sampler;
pub use sampler::Sampling;
use serde_json::Value;
use std::path::Path;
use std::time::Instant;
use template::Template;
use tokens::Tokens;

/// Tokens read between two looks at whether to stop.
const READ_AT_ONCE: usize = 256;

/// Who says a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What the model is told to be.
    System,
    /// What it is asked.
    User,
    /// What it answered.
    Assistant,
}

impl Role {
    /// As chat templates call it.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// What is asked of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The conversation up to the answer.
    pub messages: Vec<Message>,
    /// A JSON schema that the answer fits, whatever the model would rather say.
    pub schema: Option<Value>,
    /// How the answer is drawn.
    pub sampling: Sampling,
    /// Most tokens of the answer.
    pub most_tokens: usize,
}

/// How far an answer is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress<'a> {
    /// Tokens of the conversation read, of all that must be.
    Reading(usize, usize),
    /// What has been written so far.
    Writing(&'a str),
}

/// What a listener wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// More.
    Go,
    /// The text that is being written ends here: what the schema still asks for, and nothing else.
    Close,
    /// Nothing more; the answer is given up.
    Stop,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What was written.
    pub text: String,
    /// Whether it is whole: fits the schema, or the model ended it. Otherwise it reached the most tokens.
    pub whole: bool,
    /// Tokens written.
    pub tokens: usize,
    /// Seconds it took to write them.
    pub seconds: f64,
    /// Tokens of the conversation that had to be read, those of the last request's beginning not counted.
    pub read: usize,
    /// Seconds it took to read them.
    pub reading_seconds: f64,
}

/// A language model, and what it remembers of the last conversation.
pub struct LanguageModel {
    title: String,
    decoder: Decoder,
    tokens: Tokens,
    template: Template,
    grammars: Grammars,
    remembered: Vec<u32>,
}

impl LanguageModel {
    /// Opens a GGUF file.
    ///
    /// # Errors
    /// The file cannot be read, is none, or holds a model that is not computed here.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        let mut file = GgufFile::open(path)?;
        let decoder = Decoder::load(&mut file, &device.0)?;
        let tokens = Tokens::load(&file)?;
        let grammars = Grammars::new(&tokens, decoder.vocabulary())?;
        let source = file.text("tokenizer.chat_template").ok();
        let text = |id: Option<u32>| id.and_then(|id| tokens.control_text(id)).unwrap_or_default();
        let ends = [text(tokens.first()), text(tokens.ends().first().copied())];
        let template = Template::new(source, ends)?;
        let title = file.text("general.name").unwrap_or("a language model").to_owned();
        Ok(LanguageModel { title, decoder, tokens, template, grammars, remembered: Vec::new() })
    }

    /// What the file calls it.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Tokens it can read and write in one conversation.
    pub fn context(&self) -> usize {
        self.decoder.context()
    }

    /// Answers. `listen` hears how far it is and says whether to go on; nothing where it said [`Next::Stop`]. The same
    /// request has the same answer, whatever was asked before.
    ///
    /// # Errors
    /// The conversation is longer than the model's context, or the network failed.
    pub fn answer(
        &mut self,
        request: &Request,
        listen: &mut dyn FnMut(Progress<'_>) -> Next,
    ) -> Result<Option<Answer>> {
        let prompt = self.prompt(&request.messages)?;
        let mut constraint =
            request.schema.as_ref().map(|schema| self.grammars.schema(schema)).transpose()?;
        let started = Instant::now();
        let Some((read, mut logits)) = self.read(&prompt, listen)? else { return Ok(None) };
        let reading_seconds = started.elapsed().as_secs_f64();

        let started = Instant::now();
        let mut sampler = Sampler::new(request.sampling.clone());
        let (mut bytes, mut written, mut closing, mut whole) = (Vec::new(), 0, false, false);
        while written < request.most_tokens && self.decoder.read() < self.decoder.context() {
            let token = self.next(&mut logits, &mut sampler, constraint.as_mut(), &mut closing)?;
            if self.tokens.ends().contains(&token) {
                whole = true;
                break;
            }
            written += 1;
            bytes.extend_from_slice(self.tokens.piece(token));
            whole = constraint.as_ref().is_some_and(Constraint::complete);
            match listen(Progress::Writing(valid(&bytes))) {
                Next::Go => {}
                Next::Close if constraint.is_none() => whole = true,
                Next::Close => closing = true,
                Next::Stop => return Ok(None),
            }
            if whole {
                break;
            }
            self.remembered.push(token);
            logits = self.decoder.forward(&[token])?;
        }
        let seconds = started.elapsed().as_secs_f64();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Some(Answer { text, whole, tokens: written, seconds, read, reading_seconds }))
    }

    fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let harmless = |m: &Message| Message { role: m.role, content: self.tokens.harmless(&m.content) };
        let messages: Vec<Message> = messages.iter().map(harmless).collect();
        let prompt = self.tokens.of_prompt(&self.template.apply(&messages)?)?;
        let context = self.decoder.context();
        if prompt.len() >= context {
            return Err(ModelError::Language {
                reason: format!("the prompt has {} tokens, the model reads at most {context}", prompt.len()),
                advice: "make the topic and the persona shorter".into(),
            });
        }
        Ok(prompt)
    }

    /// Reads what it does not remember, and gives the number of these tokens with the logits of what follows.
    fn read(
        &mut self,
        prompt: &[u32],
        listen: &mut dyn FnMut(Progress<'_>) -> Next,
    ) -> Result<Option<(usize, Vec<f32>)>> {
        let same = self.remembered.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        // Whole portions only: read in other ones the same text gives other last digits, and a seed another answer.
        let known = same.min(prompt.len().saturating_sub(1)) / READ_AT_ONCE * READ_AT_ONCE;
        self.decoder.rewind(known);
        self.remembered.truncate(known);
        let mut logits = Vec::new();
        for portion in prompt[known..].chunks(READ_AT_ONCE) {
            if listen(Progress::Reading(self.remembered.len(), prompt.len())) == Next::Stop {
                return Ok(None);
            }
            logits = self.decoder.forward(portion)?;
            self.remembered.extend_from_slice(portion);
        }
        Ok(Some((prompt.len() - known, logits)))
    }

    fn next(
        &self,
        logits: &mut [f32],
        sampler: &mut Sampler,
        constraint: Option<&mut Constraint>,
        closing: &mut bool,
    ) -> Result<u32> {
        let (pieces, ends) = (&self.tokens, self.tokens.ends());
        let Some(constraint) = constraint else {
            let token =
                sampler.draw(logits, |token| !pieces.piece(token).is_empty() || ends.contains(&token));
            return token.ok_or_else(nothing_follows);
        };
        let allowed = constraint.allowed()?;
        let closes = |token: u32| pieces.piece(token).first() == Some(&b'"') && allowed.is_allowed(token);
        let closed = if *closing { sampler.draw(logits, closes) } else { None };
        // One text was to end, not those after it.
        *closing = *closing && closed.is_none();
        let token = closed.or_else(|| sampler.draw(logits, |token| allowed.is_allowed(token)));
        let token = token.ok_or_else(nothing_follows)?;
        constraint.wrote(token)?;
        Ok(token)
    }
}

fn nothing_follows() -> ModelError {
    ModelError::Language {
        reason: "it has no token left to write: its numbers are not finite".into(),
        advice: "the file may be damaged; fetch it again".into(),
    }
}

/// The text up to a letter that is not whole yet.
fn valid(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(),
    }
}
