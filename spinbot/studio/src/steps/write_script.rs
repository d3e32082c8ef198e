//! `write_script`: what is said and where, from a topic.

use crate::step::{Inputs, Report, Run, StepError, StepOutput, check_device, device, in_range};
use crate::writing::{self, Writer, ollama};
use crate::{loaded, step};
use spinbot::Fault;
use spinbot::script::SCRIPT_SECONDS;
use spinbot::steps::{Llm, WriteScript};
use spinbot_models::diffusion::pipeline::Precision;

/// Most characters of topic, persona and a stage.
const LONGEST: usize = 500;
/// Most stages to choose from.
const MOST_STAGES: usize = 100;

impl Run for WriteScript {
    // Also where another writes: it stands in for one that does not answer.
    const MODELS: &'static [&'static str] = &["smollm2"];

    fn check(&self) -> Result<(), Fault> {
        in_range("seconds", self.seconds, *SCRIPT_SECONDS.start(), *SCRIPT_SECONDS.end())?;
        in_range("words_per_second", self.words_per_second, 0.5, 8.0)?;
        check_device(&self.device)?;
        if self.topic.trim().is_empty() {
            return Err(Fault::new("there is no topic")
                .help("say in a line what it is about")
                .about("topic"));
        }
        let texts = [("topic", Some(&self.topic)), ("persona", self.persona.as_ref())];
        let texts = texts.into_iter().chain(self.stages.iter().map(|stage| ("stages", Some(stage))));
        for (argument, text) in texts {
            let count = text.map_or(0, |text| text.chars().count());
            if count > LONGEST {
                let fault =
                    Fault::new(format!("the {argument} has {count} characters, the most is {LONGEST}"));
                return Err(fault.help("say it in a line").about(argument));
            }
        }
        if self.stages.len() > MOST_STAGES {
            return Err(Fault::new(format!("{} stages, the most is {MOST_STAGES}", self.stages.len())));
        }
        match &self.llm {
            Llm::Ollama { url, model, remote } => ollama::check(url, model, *remote),
            Llm::SmolLm2 | Llm::Weights => Ok(()),
        }
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let mut notes = Vec::new();
        let script = match &self.llm {
            Llm::SmolLm2 => writing::write(self, &writing::smollm2()?, seed, &mut notes, report)?,
            Llm::Weights => {
                let file = step::input(inputs, "weights")?;
                let (device, _) = device(&self.device, None, None, Precision::F32)?;
                let writer = Writer::Local(loaded::language_model(file, &device)?, file.label.clone());
                writing::write(self, &writer, seed, &mut notes, report)?
            }
            Llm::Ollama { url, model, .. } => {
                let writer = Writer::Ollama(ollama::Ollama::new(url, model));
                match writing::write(self, &writer, seed, &mut notes, report) {
                    Err(StepError::Fault(fault)) => {
                        // Said aloud, and not kept as the answer of the one that was asked for.
                        let help = fault.help.as_ref().map_or(String::new(), |help| format!(" ({help})"));
                        notes.push(format!("{}{help}. SmolLM2 wrote this instead.", fault.message));
                        report.log(notes.last().map_or("", String::as_str));
                        report.passing();
                        let instead = writing::smollm2().map_err(|missing| {
                            let help = missing.help.clone().unwrap_or_default();
                            Fault::new(format!("{}, and {}", fault.message, missing.message))
                                .help(help)
                                .about("llm")
                        })?;
                        writing::write(self, &instead, seed, &mut notes, report)?
                    }
                    written => written?,
                }
            }
        };
        let text =
            |name, text: &str| StepOutput { name, media_type: "text/plain", bytes: text.as_bytes().to_vec() };
        let bytes = serde_json::to_vec(&script)
            .map_err(|error| Fault::new(format!("the script could not be written as JSON: {error}")))?;
        Ok(vec![
            text("stage", &script.stage),
            text("narration", &script.narration),
            StepOutput { name: "report", media_type: "application/json", bytes },
        ])
    }
}
