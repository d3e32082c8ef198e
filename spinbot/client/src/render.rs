//! `spinbot::render()`: the builder of a talking-portrait plan.

use crate::base_model::base_model_for;
use crate::face::PlacedFace;
use crate::loras::{Lora, Loras};
use crate::narration::Narration;
use crate::plan::{Input, Plan, Step};
use crate::script::ScriptWriter;
use crate::steps::{AddCards, Articulate, Drive, Encode, MixMusic, ReadPortrait, ReadSpeech};
use crate::take::Take;
use crate::takes::{MOST_TAKES, Merged, Takes};
use crate::variants::{Scene, Variant};
use crate::voices::Profiles;
use crate::{Engine, Fault, JobView, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Longest title of a plan, in characters: what `encode` takes.
const MAX_TITLE: usize = 500;
/// Frames a second.
const FPS: u32 = 25;

/// Presets of `--preset`: how large and how fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// 256 px, small file.
    Draft,
    /// 512 px.
    #[default]
    Standard,
    /// 768 px, fine quantizer.
    Fine,
}

impl Preset {
    /// By name: `draft`, `standard`, `fine`.
    pub const NAMES: &'static [&'static str] = &["draft", "standard", "fine"];

    /// Longest side in pixels and H.264 quantizer.
    pub fn size_and_quantizer(self) -> (u32, u8) {
        match self {
            Preset::Draft => (256, 30),
            Preset::Standard => (512, 24),
            Preset::Fine => (768, 20),
        }
    }
}

impl std::str::FromStr for Preset {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "draft" => Ok(Preset::Draft),
            "standard" => Ok(Preset::Standard),
            "fine" => Ok(Preset::Fine),
            other => Err(Fault::not_among(format!("`{other}` is not a preset"), Preset::NAMES, "preset")),
        }
    }
}

/// Where the spoken words can be read: `--subtitles`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subtitles {
    /// Nowhere.
    #[default]
    Off,
    /// With their times, beside the player and in [`Take::subtitles`].
    Beside,
    /// In the picture, the word that is said in another colour.
    Burned,
}

impl Subtitles {
    /// By name: `off`, `beside`, `burned`.
    pub const NAMES: &'static [&'static str] = &["off", "beside", "burned"];
}

impl std::str::FromStr for Subtitles {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "off" => Ok(Subtitles::Off),
            "beside" => Ok(Subtitles::Beside),
            "burned" => Ok(Subtitles::Burned),
            other => {
                Err(Fault::not_among(format!("subtitles are not `{other}`"), Subtitles::NAMES, "subtitles"))
            }
        }
    }
}

/// Who is drawn in place of a picture that is given.
#[derive(Debug, Clone)]
struct Bot {
    /// Its LoRA, by name or file.
    lora: String,
    weight: f64,
}

/// What a bot is drawn before where no stage is told.
const STAGE: &str = "plain background";

/// A talking portrait in the making; ends in [`Render::run`].
#[derive(Debug, Clone, Default)]
pub struct Render {
    portrait: Option<PathBuf>,
    bot: Option<Bot>,
    stage: Option<String>,
    loras: Loras,
    speech: Option<PathBuf>,
    text: Option<String>,
    script: Option<ScriptWriter>,
    voice: Option<String>,
    speed: Option<f64>,
    profiles: Profiles,
    preset: Preset,
    variant: Variant,
    still: bool,
    keep_aspect: bool,
    face: Option<PlacedFace>,
    subtitles: Subtitles,
    music: Option<PathBuf>,
    intro: Option<String>,
    outro: Option<String>,
    seed: u64,
    /// Seed of the voice's breath where takes share it.
    breath: Option<u64>,
    takes: Option<u64>,
}

/// Starts a talking portrait: `spinbot::render().portrait("me.jpg").speech("hello.wav").run()?`, or with
/// `.text("Hello").voice("me")` in place of a recording.
pub fn render() -> Render {
    Render::default()
}

impl Render {
    /// The picture to animate.
    #[must_use]
    pub fn portrait(mut self, path: impl Into<PathBuf>) -> Self {
        self.portrait = Some(path.into());
        self
    }

    /// Draws who talks with a LoRA, by its name or file, counted by a weight: 1 as it was trained. In place of a picture.
    #[must_use]
    pub fn bot(mut self, name_or_path: impl Into<String>, weight: f64) -> Self {
        self.bot = Some(Bot { lora: name_or_path.into(), weight });
        self
    }

    /// What a bot is drawn before: `on a stage, red curtain`.
    #[must_use]
    pub fn stage(mut self, prompt: impl Into<String>) -> Self {
        self.stage = Some(prompt.into());
        self
    }

    /// Where LoRAs are looked for; the user's own when not given.
    #[must_use]
    pub fn loras(mut self, store: Loras) -> Self {
        self.loras = store;
        self
    }

    /// The clip it says; a clip or a text, exactly one.
    #[must_use]
    pub fn speech(mut self, path: impl Into<PathBuf>) -> Self {
        self.speech = Some(path.into());
        self
    }

    /// The text it says.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// A script to be written, which it says: `spinbot::script("why octopuses have three hearts")`. Its speed and seed are
    /// those of the render.
    #[must_use]
    pub fn script(mut self, script: ScriptWriter) -> Self {
        self.script = Some(script);
        self
    }

    /// Who says the text: a stock voice, a profile or a mixture (`me:0.7+af_nova:0.3`).
    #[must_use]
    pub fn voice(mut self, voice: impl Into<String>) -> Self {
        self.voice = Some(voice.into());
        self
    }

    /// How fast the text is said, 0.5..=2; 1 is the voice's own.
    #[must_use]
    pub fn speed(mut self, speed: f64) -> Self {
        self.speed = Some(speed);
        self
    }

    /// Where profiles are looked for; the user's own when not given.
    #[must_use]
    pub fn profiles(mut self, profiles: Profiles) -> Self {
        self.profiles = profiles;
        self
    }

    /// How large and fine.
    #[must_use]
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// How the picture is made to talk.
    #[must_use]
    pub fn variant(mut self, variant: Variant) -> Self {
        self.variant = variant;
        self
    }

    /// Only the mouth and lids move.
    #[must_use]
    pub fn still(mut self) -> Self {
        self.still = true;
        self
    }

    /// Keep the picture's own shape instead of a square around the face.
    #[must_use]
    pub fn keep_aspect(mut self) -> Self {
        self.keep_aspect = true;
        self
    }

    /// Where the face is, for a picture in which none is found or another is meant.
    #[must_use]
    pub fn face(mut self, face: PlacedFace) -> Self {
        self.face = Some(face);
        self
    }

    /// Where the words of a text can be read; those of a recording are not known.
    #[must_use]
    pub fn subtitles(mut self, subtitles: Subtitles) -> Self {
        self.subtitles = subtitles;
        self
    }

    /// Music under the words: repeated to their length, and quieter while they are said.
    #[must_use]
    pub fn music(mut self, path: impl Into<PathBuf>) -> Self {
        self.music = Some(path.into());
        self
    }

    /// Words on a card of two seconds before the video.
    #[must_use]
    pub fn intro(mut self, words: impl Into<String>) -> Self {
        self.intro = Some(words.into());
        self
    }

    /// Words on a card of two seconds after the video.
    #[must_use]
    pub fn outro(mut self, words: impl Into<String>) -> Self {
        self.outro = Some(words.into());
        self
    }

    /// Seed of all that is left to chance: blinks and sway, a bot's drawing, a script's words.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Several takes, 1..=[`MOST_TAKES`], of the seeds from [`Render::seed`] on; ends in [`Render::run_takes`].
    #[must_use]
    pub fn takes(mut self, count: u64) -> Self {
        self.takes = Some(count);
        self
    }

    /// The plan: `read_portrait`; `read_speech` -> `drive` for a recording, or `read_voice` -> `speak` ->
    /// `articulate` for a text, after `write_script` where it is a topic's (`drive` where the voice is of pocket-tts); then `animate` -> `encode`, and between them `add_cards`
    /// and `mix_music` where they are wanted.
    ///
    /// Of several takes each has these steps, and those that are the same are one.
    ///
    /// # Errors
    /// When the portrait is not given, or not exactly one of recording and text; or there is no such voice; or the variant
    /// needs a model that was not added.
    pub fn plan(&self) -> Result<Plan> {
        match self.takes {
            None | Some(1) => self.one(),
            Some(_) => Ok(self.merged()?.plan),
        }
    }

    /// The plans of all takes as one.
    fn merged(&self) -> Result<Merged> {
        let one = |seed: u64| Render { seed, breath: Some(self.seed), takes: None, ..self.clone() }.one();
        let plans = self.seeds()?.map(one).collect::<Result<_>>()?;
        Merged::of(plans).ok_or_else(|| Fault::new("a render without a take").about("takes"))
    }

    /// The seed of each take.
    fn seeds(&self) -> Result<impl Iterator<Item = u64> + use<>> {
        let (count, first) = (self.takes.unwrap_or(1), self.seed);
        match (1..=MOST_TAKES).contains(&count) {
            true => Ok((0..count).map(move |take| first.wrapping_add(take))),
            false => Err(Fault::new(format!("{count} takes at once"))
                .help(format!("make 1 to {MOST_TAKES}; another --seed makes others"))
                .about("takes")),
        }
    }

    /// The plan of one take.
    fn one(&self) -> Result<Plan> {
        let missing = |what: &str, example: &str| {
            Fault::new(format!("a render needs {what}")).help(format!("add {example}"))
        };
        let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let (size, quantizer) = self.preset.size_and_quantizer();
        let bot = self.bot.as_ref().map(|bot| bot.lora.clone());
        let read_portrait = ReadPortrait { size, keep_aspect: self.keep_aspect, face: self.face, bot };
        let read_portrait = Step::new(&read_portrait).weighing(2.0);
        let write = self.script.as_ref().map(|script| self.written(script)).transpose()?;
        let (shown, drawn, read_portrait) = match (&self.portrait, &self.bot) {
            (Some(portrait), None) => {
                (name(portrait), None, read_portrait.with("portrait", Input::File(portrait.clone())))
            }
            (None, Some(bot)) => {
                let drawn = self.drawn(bot, write.as_ref())?;
                (
                    bot.lora.clone(),
                    Some(drawn.clone()),
                    read_portrait.with("portrait", drawn.output("picture")),
                )
            }
            (None, None) => {
                return Err(missing("a portrait", "--portrait PICTURE or --bot LORA").about("portrait"));
            }
            (Some(_), Some(_)) => {
                let fault = Fault::new("a render shows one face: a picture's or a bot's");
                return Err(fault.help("leave --portrait or --bot out").about("bot"));
            }
        };
        if let (Some(_), None) = (&self.stage, &self.bot) {
            let fault = Fault::new("a picture is on the stage that it shows");
            return Err(fault.help("--stage goes with --bot").about("stage"));
        }
        let Narrated { said, steps, speech, motion, timing } = match (&self.speech, &self.text, &self.script)
        {
            (Some(speech), None, None) => self.recorded(speech, name(speech))?,
            (None, Some(text), None) => self.spoken(Narration::new(text.clone()))?,
            (None, None, Some(script)) => self.scripted(script, write.as_ref())?,
            (None, None, None) => {
                let fault = missing("something to say", "a topic, --text \"WORDS\" or --speech CLIP");
                return Err(fault.about("speech"));
            }
            _ => {
                let fault = Fault::new("a render says one thing: a topic's script, a text or a recording");
                return Err(fault.help("leave the others out").about("text"));
            }
        };
        let title = format!("render {shown} saying {said}");
        let title: String = title.chars().take(MAX_TITLE).collect();
        let scene = Scene {
            picture: read_portrait.output("picture"),
            landmarks: read_portrait.output("landmarks"),
            matte: read_portrait.output("matte"),
            motion,
            speech: speech.clone(),
        };
        let animate = self.variant.animate(scene, quantizer, self.profiles.models())?;
        let burned = timing.clone().filter(|_| self.subtitles == Subtitles::Burned);
        let animate = burned.into_iter().fold(animate, |animate, timing| animate.with("timing", timing));
        let mut end = vec![animate];
        let (mut video, mut speech) = (end[0].output("video"), speech);
        if self.intro.is_some() || self.outro.is_some() {
            let (intro, outro) = (self.intro.clone(), self.outro.clone());
            let cards = Step::new(&AddCards { intro, outro, quantizer })
                .with("video", video)
                .with("speech", speech)
                .weighing(1.0);
            let cards = timing.into_iter().fold(cards, |cards, timing| cards.with("timing", timing));
            (video, speech) = (cards.output("video"), cards.output("speech"));
            end.push(cards);
        }
        if let Some(music) = &self.music {
            let mix = Step::new(&MixMusic::default())
                .with("speech", speech)
                .with("music", Input::File(music.clone()))
                .weighing(1.0);
            speech = mix.output("speech");
            end.push(mix);
        }
        let encode = Step::new(&Encode { title: title.clone() })
            .with("video", video)
            .with("speech", speech)
            .with("provenance", Input::Provenance)
            .weighing(1.0);
        let result = (encode.id.clone(), "video".to_owned());
        end.push(encode);
        // A bot stands on the script's stage; a picture can be looked at before anything is written.
        let start: Vec<Step> = match drawn {
            Some(drawn) => write.into_iter().chain([drawn, read_portrait]).collect(),
            None => std::iter::once(read_portrait).chain(write).collect(),
        };
        let steps = [start, steps, end].concat();
        Ok(Plan { title, steps, result })
    }

    /// The LoRA of a bot.
    fn lora(&self, bot: &Bot) -> Result<Lora> {
        self.loras.find(&bot.lora).map_err(|fault| fault.about("bot"))
    }

    /// The step that draws a bot from the front: before the stage that is told, or that which the script names, where a step
    /// writes one.
    fn drawn(&self, bot: &Bot, script: Option<&Step>) -> Result<Step> {
        let lora = self.lora(bot)?;
        let who = lora.trigger().map_or(String::new(), |trigger| format!(" of {trigger}"));
        let written = script.filter(|_| self.stage.is_none());
        let stage = match (&self.stage, written) {
            (Some(stage), _) => format!(", {stage}"),
            (None, None) => format!(", {STAGE}"),
            (None, Some(_)) => String::new(),
        };
        let plan = crate::draw(format!("a portrait{who}, facing the viewer{stage}"))
            .lora(bot.lora.clone(), bot.weight)
            .seed_list([self.seed])
            .loras(self.loras.clone())
            .models(self.profiles.models().clone())
            .plan()
            .map_err(|fault| fault.about("bot"))?;
        let step = plan.steps.into_iter().next();
        let step = step.ok_or_else(|| Fault::new("a drawing without a step").about("bot"))?;
        Ok(written.into_iter().fold(step, |step, script| step.with("stage", script.output("stage"))))
    }

    fn liveliness(&self) -> f64 {
        if self.still { 0.0 } else { 1.0 }
    }

    /// A recording, and the motion heard in it.
    fn recorded(&self, speech: &Path, said: String) -> Result<Narrated> {
        for (given, name) in [(self.voice.is_some(), "voice"), (self.speed.is_some(), "speed")] {
            if given {
                return Err(Fault::new(format!("a recording has its own {name}"))
                    .help(format!("--{name} goes with --text"))
                    .about(name));
            }
        }
        if self.subtitles != Subtitles::Off {
            return Err(Fault::new("nothing tells when each word of a recording is said")
                .help("subtitles go with --text; leave --subtitles off for a recording")
                .about("subtitles"));
        }
        let read_speech = Step::new(&ReadSpeech { max_seconds: 600.0 })
            .with("speech", Input::File(speech.to_owned()))
            .weighing(1.0);
        let drive = Step::new(&Drive { fps: FPS, liveliness: self.liveliness() })
            .with("speech", read_speech.output("speech"))
            .seeded(self.seed)
            .weighing(1.0);
        let (speech, motion) = (read_speech.output("speech"), drive.output("motion"));
        Ok(Narrated { said, steps: vec![read_speech, drive], speech, motion, timing: None })
    }

    /// A text said, and the motion of its phonemes; of its sound where the voice's synthesiser does not tell their times.
    fn spoken(&self, mut narration: Narration) -> Result<Narrated> {
        if let Some(voice) = &self.voice {
            narration.voice.clone_from(voice);
        }
        narration.speed = self.speed.unwrap_or(narration.speed);
        narration.profiles.clone_from(&self.profiles);
        let (read_voice, mut speak) = narration.steps(self.seed)?;
        let (fps, liveliness) = (FPS, self.liveliness());
        let free = speak.inputs.contains_key("weights");
        // Of Kokoro's voices only the breath is left to chance: not worth speaking anew for every take.
        speak.seed = self.breath.filter(|_| !free).unwrap_or(speak.seed);
        let moving = match free {
            true => Step::new(&Drive { fps, liveliness }),
            false => Step::new(&Articulate { fps, liveliness }).with("timing", speak.output("timing")),
        };
        let moving = moving.with("speech", speak.output("speech")).seeded(self.seed).weighing(1.0);
        let (speech, motion) = (speak.output("speech"), moving.output("motion"));
        let timing = Some(speak.output("timing"));
        let steps = vec![read_voice, speak, moving];
        Ok(Narrated { said: narration.quoted(), steps, speech, motion, timing })
    }

    /// The step that writes a script, with a stage that the bot's model can draw.
    fn written(&self, script: &ScriptWriter) -> Result<Step> {
        let script = script.clone().speed(self.speed.unwrap_or(1.0)).seed(self.seed);
        match &self.bot {
            Some(bot) => {
                let models = self.profiles.models();
                script.base(base_model_for(None, &[self.lora(bot)?], models)?.id).step()
            }
            None => script.step(),
        }
    }

    /// A script that is written before, by `write`.
    fn scripted(&self, script: &ScriptWriter, write: Option<&Step>) -> Result<Narrated> {
        let mut narration = Narration::new(String::new());
        narration.written = write.map(|write| write.output("narration"));
        let narrated = self.spoken(narration)?;
        Ok(Narrated { said: format!("a script about {}", script.quoted()), ..narrated })
    }

    /// What a finished job of several takes left.
    ///
    /// # Errors
    /// The job's own fault when it failed, or that it was cancelled.
    pub fn taken(&self, view: &JobView) -> Result<Takes> {
        self.merged()?.takes(view, self.seeds()?)
    }

    /// Runs several takes on the engine, showing first frames and progress, and returns them.
    ///
    /// # Errors
    /// As [`Render::run`].
    pub fn run_takes(&self) -> Result<Takes> {
        let mut job = Engine::connect()?.submit(self.merged()?.plan)?;
        self.taken(&job.show()?)
    }

    /// Runs it on the engine, showing first frame and progress, and returns the take; of several the first.
    ///
    /// # Errors
    /// What is missing or wrong in the picture or the clip, or why the engine could not do it.
    pub fn run(&self) -> Result<Take> {
        let mut job = Engine::connect()?.submit(self.plan()?)?;
        let view = job.show()?;
        Take::of(&view)
    }
}

/// The part of a plan that says something.
struct Narrated {
    /// What is said, for the title.
    said: String,
    steps: Vec<Step>,
    speech: Input,
    motion: Input,
    /// When the words are said, where that is known.
    timing: Option<Input>,
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
