//! `spinbot::script()`: the builder of a plan that writes what is said, and the script it leaves.

use crate::base_model::{DEFAULT_BASE, base_model};
use crate::bundle::{Bundle, Show};
use crate::models::AddedModels;
use crate::narration::SPEEDS;
use crate::plan::{Input, Plan, Step};
use crate::steps::{AUTO, Llm, Tone, WriteScript};
use crate::suggest::nearest;
use crate::{Engine, Fault, JobView, Result};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The language model that writes when none is named.
pub const DEFAULT_LLM: &str = "smollm2";
/// Where Ollama listens unless `OLLAMA_HOST` says otherwise.
pub const OLLAMA_URL: &str = "http://127.0.0.1:11434";
/// Shortest and longest script, in seconds.
pub const SCRIPT_SECONDS: RangeInclusive<f64> = 3.0..=300.0;
/// Words a second of Kokoro's voices at their own speed, in the mean over the English ones.
pub const WORDS_PER_SECOND: f64 = 2.6;
/// Most characters of a topic, and of a persona.
const LONGEST: usize = 500;
/// Characters of a topic that stand in a title.
const QUOTED: usize = 60;

/// Where the built-in image model can put a bot: a phrase it learned for each of its scenes.
pub const STAGES: &[&str] = &[
    "at the beach",
    "under a night sky",
    "in a forest",
    "in a city",
    "in the mountains",
    "on a stage, red curtain",
    "in front of a brick wall",
    "in space",
    "at sunset",
    "in the snow",
    "in a living room",
    "in a garden",
];

/// A script about to be written; ends in [`ScriptWriter::run`].
#[derive(Debug, Clone)]
pub struct ScriptWriter {
    topic: String,
    tone: Tone,
    persona: Option<String>,
    seconds: f64,
    speed: f64,
    base: Option<String>,
    llm: Option<String>,
    ollama: Option<String>,
    remote: bool,
    device: String,
    seed: u64,
    models: AddedModels,
}

/// Writes a script: `spinbot::script("why octopuses have three hearts").seconds(20.0).run()?`.
pub fn script(topic: impl Into<String>) -> ScriptWriter {
    ScriptWriter {
        topic: topic.into(),
        tone: Tone::default(),
        persona: None,
        seconds: 20.0,
        speed: 1.0,
        base: None,
        llm: None,
        ollama: None,
        remote: false,
        device: AUTO.to_owned(),
        seed: 0,
        models: AddedModels::standard(),
    }
}

impl ScriptWriter {
    /// In which manner.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Who speaks: `a tired lighthouse keeper`.
    #[must_use]
    pub fn persona(mut self, persona: impl Into<String>) -> Self {
        self.persona = Some(persona.into());
        self
    }

    /// How long it should take to say, in [`SCRIPT_SECONDS`].
    #[must_use]
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = seconds;
        self
    }

    /// How fast it will be said, as [`crate::Speak::speed`].
    #[must_use]
    pub fn speed(mut self, speed: f64) -> Self {
        self.speed = speed;
        self
    }

    /// The model that will draw the stage, as [`crate::Draw::base`]: the built-in one is given a stage that it can draw,
    /// all others any.
    #[must_use]
    pub fn base(mut self, id: impl Into<String>) -> Self {
        self.base = Some(id.into());
        self
    }

    /// Who writes: `smollm2`, a GGUF file that was made known (`spinbot models add`), or `ollama:NAME`.
    #[must_use]
    pub fn llm(mut self, llm: impl Into<String>) -> Self {
        self.llm = Some(llm.into());
        self
    }

    /// Where Ollama listens; `OLLAMA_HOST`, or [`OLLAMA_URL`], when not given.
    #[must_use]
    pub fn ollama(mut self, url: impl Into<String>) -> Self {
        self.ollama = Some(url.into());
        self
    }

    /// Lets Ollama be on another machine: topic and persona are sent there.
    #[must_use]
    pub fn allow_remote(mut self) -> Self {
        self.remote = true;
        self
    }

    /// Where it is computed: `auto`, `cpu`, `cuda:N`, `metal`.
    #[must_use]
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = device.into();
        self
    }

    /// Another seed, another script.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Where models of one's own are looked for; the user's own when not given.
    #[must_use]
    pub fn models(mut self, models: AddedModels) -> Self {
        self.models = models;
        self
    }

    /// The step that writes it.
    ///
    /// # Errors
    /// Topic, persona, seconds or speed are out of range, or there is no such model.
    pub(crate) fn step(&self) -> Result<Step> {
        for (what, text) in [("topic", Some(&self.topic)), ("persona", self.persona.as_ref())] {
            let Some(text) = text else { continue };
            let count = text.chars().count();
            if text.trim().is_empty() || count > LONGEST {
                let fault = Fault::new(format!("the {what} has {count} characters, need 1 to {LONGEST}"));
                return Err(fault.help("say in a line what it is about").about(what));
            }
        }
        for (what, value, range) in [("seconds", self.seconds, SCRIPT_SECONDS), ("speed", self.speed, SPEEDS)]
        {
            if !range.contains(&value) {
                let (least, most) = (range.start(), range.end());
                let fault = Fault::new(format!("{what} is {value}, need {least}..={most}"));
                return Err(fault.help(format!("choose a value from {least} to {most}")).about(what));
            }
        }
        let drawn_here = base_model(self.base.as_deref(), &self.models)?.id == DEFAULT_BASE;
        let (llm, weights) = self.writer()?;
        let step = Step::new(&WriteScript {
            topic: self.topic.trim().to_owned(),
            tone: self.tone,
            persona: self.persona.as_deref().map(|persona| persona.trim().to_owned()),
            seconds: self.seconds,
            words_per_second: WORDS_PER_SECOND * self.speed,
            stages: if drawn_here {
                STAGES.iter().map(|stage| (*stage).to_owned()).collect()
            } else {
                Vec::new()
            },
            llm,
            device: self.device.clone(),
        })
        .seeded(self.seed)
        .weighing(6.0);
        Ok(weights.into_iter().fold(step, |step, weights| step.with("weights", weights)))
    }

    fn writer(&self) -> Result<(Llm, Option<Input>)> {
        let given = self.llm.as_deref().unwrap_or(DEFAULT_LLM);
        if given == DEFAULT_LLM {
            return Ok((Llm::SmolLm2, None));
        }
        if let Some(model) = given.strip_prefix("ollama:").map(str::trim) {
            if model.is_empty() {
                let fault = Fault::new("no model of Ollama's is named").about("llm");
                return Err(fault.help("write `ollama:NAME`; `ollama list` in a terminal shows the names"));
            }
            let url = match &self.ollama {
                Some(url) => url.clone(),
                None => std::env::var("OLLAMA_HOST").ok().filter(|host| !host.trim().is_empty()).map_or_else(
                    || OLLAMA_URL.to_owned(),
                    |host| if host.contains("://") { host } else { format!("http://{host}") },
                ),
            };
            return Ok((Llm::Ollama { url, model: model.to_owned(), remote: self.remote }, None));
        }
        let all = self.models.list()?;
        if let Some(model) = all.iter().find(|model| model.id == given) {
            return Ok((Llm::Weights, Some(model.input())));
        }
        let fault = Fault::new(format!("there is no language model called `{given}`")).about("llm");
        Err(fault.help(match nearest(given, all.iter().map(|model| model.id.as_str()).chain([DEFAULT_LLM])) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "make a GGUF file known with `spinbot models add FILE.gguf --as {given}` in a terminal, or name one \
                 of Ollama's: `ollama:NAME`"
            ),
        }))
    }

    /// The plan: `write_script`.
    ///
    /// # Errors
    /// Topic, persona, seconds or speed are out of range, or there is no such model.
    pub fn plan(&self) -> Result<Plan> {
        let step = self.step()?;
        let result = (step.id.clone(), "report".to_owned());
        Ok(Plan { title: format!("write about {}", self.quoted()), steps: vec![step], result })
    }

    /// The beginning of the topic in quotes.
    pub(crate) fn quoted(&self) -> String {
        let words = self.topic.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = words.chars().take(QUOTED).collect();
        let more = if short.len() < words.len() { "…" } else { "" };
        format!("\"{short}{more}\"")
    }

    /// Runs it on the engine, showing the text as it is written.
    ///
    /// # Errors
    /// What is wrong with the topic, or why no model could write.
    pub fn run(&self) -> Result<Script> {
        let mut job = Engine::connect()?.submit(self.plan()?)?;
        let view = job.show()?;
        Script::of(&view)
    }
}

/// What a language model wrote, and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScriptReport {
    /// Where it is said: what follows `portrait of ...` in a prompt.
    pub stage: String,
    /// What is said.
    pub narration: String,
    /// What it was to be about.
    pub topic: String,
    /// Words of the narration.
    pub words: usize,
    /// How long it will take to say, in seconds.
    pub seconds: f64,
    /// Who wrote it.
    pub llm: String,
    /// Every attempt, the one taken among them.
    pub attempts: Vec<Attempt>,
    /// Tokens written in all attempts.
    pub tokens: usize,
    /// Tokens a second; nothing where the writer does not tell.
    pub tokens_per_second: Option<f64>,
    /// What did not go as it was asked for, as sentences: another model that had to write.
    pub notes: Vec<String>,
}

/// One attempt at a narration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// How good simple checks find it, 0..=1.
    pub score: f64,
    /// What they found wrong, in short words.
    pub problems: Vec<String>,
    /// Whether it was taken.
    pub taken: bool,
}

/// A script: where a bot stands and what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Script {
    job: String,
    report: ScriptReport,
    made_in: f64,
}

impl Script {
    /// What a finished job of [`ScriptWriter::plan`] wrote.
    ///
    /// # Errors
    /// The job's own fault when it failed, or that it was cancelled.
    pub fn of(view: &JobView) -> Result<Self> {
        let report = view.artifact("write_script", "report").or_else(|_| view.result())?.json()?;
        Ok(Script { job: view.job.clone(), report, made_in: view.seconds() })
    }

    /// What a magic left, from [`Script::to_json`].
    ///
    /// # Errors
    /// When the text is of something else.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Fault::new(format!("this is no script: {e}")))
    }

    /// As text, to hand it from one process to another.
    ///
    /// # Errors
    /// When a number in it is none JSON can hold.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Fault::new(format!("the script cannot be written as JSON: {e}")))
    }

    /// Where it is said.
    pub fn stage(&self) -> &str {
        &self.report.stage
    }

    /// What is said.
    pub fn narration(&self) -> &str {
        &self.report.narration
    }

    /// How long it will take to say, in seconds.
    pub fn duration(&self) -> f64 {
        self.report.seconds
    }

    /// All that is known of it.
    pub fn report(&self) -> &ScriptReport {
        &self.report
    }

    /// Wall seconds the job took.
    pub fn seconds(&self) -> f64 {
        self.made_in
    }

    /// The job that wrote it.
    pub fn job(&self) -> &str {
        &self.job
    }
}

impl Show for Script {
    fn bundle(&self) -> Bundle {
        Bundle::text(format!("Stage: {}\n\n{}", self.stage(), self.narration()))
    }
}
