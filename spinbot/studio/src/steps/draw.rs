//! `draw`: one picture of a text.

use crate::drawing::{self, Lora, Made};
use crate::loaded;
use crate::step::{
    Inputs, Report, Run, StepError, StepInput, StepOutput, check_device, device, in_range, input,
    media_fault, model_fault, numbered,
};
use spinbot::draw::{LORA_WEIGHTS, MOST_LORAS, Sampler};
use spinbot::{Fault, steps::Draw};
use spinbot_media::picture::{self, Caps};
use spinbot_media::{MediaError, RgbImage};
use spinbot_models::diffusion::checkpoint::Checkpoint;
use spinbot_models::diffusion::pipeline::{
    DrawRequest, Pipeline, Precision, Progress, Rgb8, Source, Subject, from_rgb8, mask_from_rgb8, to_rgb8,
};
use spinbot_models::diffusion::scheduler::SchedulerKind;
use spinbot_models::{Device, ModelError};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Most pixels of a picture: attention grows with their square.
const MOST_PIXELS: u64 = 2048 * 2048;
/// Edge of the pictures of a model that does not say what it was trained on.
const USUAL_EDGE: usize = 512;
/// Least time between two previews: each becomes a file of the store.
const PREVIEWS: Duration = Duration::from_millis(400);
/// Longest edge of the preview of the result.
const THUMBNAIL: u32 = 256;

impl Run for Draw {
    fn check(&self) -> Result<(), Fault> {
        in_range("steps", self.steps, 1, 200)?;
        in_range("cfg", self.cfg, 1.0, 30.0)?;
        in_range("rescale", self.rescale, 0.0, 1.0)?;
        in_range("strength", self.strength, 0.0, 1.0)?;
        in_range("clip_skip", self.clip_skip, 0, 11)?;
        check_device(&self.device)?;
        in_range("lora", self.weights.len(), 0, MOST_LORAS)?;
        if self.prompt.trim().is_empty() {
            return Err(Fault::new("there is nothing to draw: the prompt is empty").about("prompt"));
        }
        for (number, weight) in self.weights.iter().enumerate() {
            in_range(&format!("lora{}", number + 1), *weight, *LORA_WEIGHTS.start(), *LORA_WEIGHTS.end())?;
        }
        match self.size {
            Some((width, height)) if u64::from(width) * u64::from(height) > MOST_PIXELS => Err(Fault::new(
                format!("{width}x{height} is larger than the 4 megapixels a picture may have"),
            )
            .help("draw it smaller; models draw best at the size they were trained on")
            .about("size")),
            _ => Ok(()),
        }
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let model = input(inputs, "model")?;
        let files = numbered(inputs, "lora");
        if files.len() != self.weights.len() {
            let (files, weights) = (files.len(), self.weights.len());
            return Err(Fault::new(format!("step `draw` has {files} LoRAs and {weights} weights")).into());
        }
        let loras: Vec<(&StepInput, f64)> =
            files.iter().zip(&self.weights).map(|((_, file), weight)| (*file, *weight)).collect();
        let begun = Instant::now();
        let checkpoint =
            Checkpoint::open(&model.path, None).map_err(|error| model_fault(error).about("model"))?;
        let place = device(&self.device, self.precision, checkpoint.family(), Precision::F16)?;
        let painter = loaded::painter(model, &loras, &place)?;
        let pipeline = &painter.pipeline;
        let loading = begun.elapsed();
        if let [first, ..] = painter.loras.unmatched.as_slice() {
            let count = painter.loras.unmatched.len();
            report
                .log(&format!("{count} layers of LoRAs are not in this model and were left out, as {first}"));
        }
        let staged = Draw { prompt: prompt(self, inputs)?, ..self.clone() };
        let (tokens, room) = pipeline.tokens(&staged.prompt).map_err(about)?;
        if tokens > room {
            report.log(&format!(
                "the prompt has {tokens} tokens and is read in parts of {room}; what comes late counts less"
            ));
        }
        let begun = Instant::now();
        let (request, width, height) = request(&staged, pipeline, inputs, seed)?;
        let name = format!("seed {seed}");
        let mut previewed: Option<Instant> = None;
        let on_step = &mut |progress: &Progress<'_>| {
            if report.cancelled() {
                return ControlFlow::Break(());
            }
            report.progress(progress.step as f64, progress.steps as f64, "steps");
            let due = previewed.is_none_or(|at| at.elapsed() >= PREVIEWS);
            if due && progress.step < progress.steps {
                // A preview that fails is not worth the picture.
                if let Some(bytes) = small_picture(progress) {
                    report.preview(&name, "image/png", &bytes);
                }
                previewed = Some(Instant::now());
            }
            ControlFlow::Continue(())
        };
        let drawn = pipeline.draw(&request, &painter.loras.adapters, on_step).map_err(about)?;
        let Some(drawn) = drawn else { return Err(StepError::Cancelled) };
        let drawn = to_rgb8(&drawn).map_err(about)?.pop().map(drawing::image).transpose()?;
        let drawn = drawn.ok_or_else(|| Fault::new("the model drew nothing"))?;
        report.metric("seconds_loading", 0.0, loading.as_secs_f64());
        report.metric("seconds_drawing", 0.0, begun.elapsed().as_secs_f64());
        let failed = |error: MediaError| media_fault(error, "prompt");
        let scale = f64::from(THUMBNAIL) / f64::from(width.max(height));
        let side = |edge: u32| ((f64::from(edge) * scale.min(1.0)).round() as u32).max(1);
        let thumbnail = picture::resize(&drawn, side(width), side(height));
        report.preview(&name, "image/jpeg", &picture::jpeg_bytes(&thumbnail, 85).map_err(failed)?);

        let lora = |(file, weight): &(&StepInput, f64)| Lora {
            name: drawing::stem(&file.label),
            sha256: file.sha256.clone(),
            weight: *weight,
        };
        let made = Made {
            params: &staged,
            seed,
            size: (width, height),
            model: &model.label,
            model_sha256: &model.sha256,
            loras: loras.iter().map(lora).collect(),
            from_image: inputs.get("image").map(|file| file.sha256.as_str()),
            mask: inputs.get("mask").map(|file| file.sha256.as_str()),
        };
        let (plan, parameters) = (made.json()?, made.parameters());
        let texts = [("parameters", parameters.as_str()), (drawing::PLAN, plan.as_str())];
        let bytes = picture::png_bytes_with_texts(&drawn, &texts).map_err(failed)?;
        Ok(vec![StepOutput { name: "picture", media_type: "image/png", bytes }])
    }
}

/// What is seen in the latents at this step, as a PNG file with a pixel for each.
fn small_picture(progress: &Progress<'_>) -> Option<Vec<u8>> {
    let seen = to_rgb8(&progress.preview().ok()?).ok()?.pop().and_then(|seen| drawing::image(seen).ok())?;
    picture::png_bytes(&seen).ok()
}

/// A model's error, about what is asked of it.
fn about(error: ModelError) -> Fault {
    let argument = match &error {
        ModelError::Prompt { .. } => Some("prompt"),
        ModelError::Drawing { .. } => Some("size"),
        ModelError::Scheduler { .. } => Some("scheduler"),
        _ => None,
    };
    let fault = model_fault(error);
    argument.into_iter().fold(fault, Fault::about)
}

/// Most bytes of a stage.
const MOST_STAGE: u64 = 4_000;

/// The step's prompt, followed by the stage that a script names.
fn prompt(step: &Draw, inputs: &Inputs) -> Result<String, Fault> {
    let Some(stage) = inputs.get("stage") else { return Ok(step.prompt.clone()) };
    let unread = |reason: String| Fault::new(format!("the stage could not be read: {reason}")).about("stage");
    let size = std::fs::metadata(&stage.path).map_err(|error| unread(error.to_string()))?.len();
    if size > MOST_STAGE {
        return Err(unread(format!("it has {size} bytes, the most is {MOST_STAGE}")));
    }
    let stage = std::fs::read_to_string(&stage.path).map_err(|error| unread(error.to_string()))?;
    Ok(format!("{}, {}", step.prompt, stage.trim()))
}

/// The request, and its width and height.
fn request(
    step: &Draw,
    pipeline: &Pipeline,
    inputs: &Inputs,
    seed: u64,
) -> Result<(DrawRequest, u32, u32), Fault> {
    let read = |name: &str| {
        let caps = Caps { min_side: 8, ..Caps::default() };
        let file = inputs.get(name);
        let read = file.map(|file| picture::read(&file.path, &drawing::file_name(&file.label), &caps));
        read.transpose().map_err(|error| media_fault(error, name))
    };
    let (from, mask) = (read("image")?, read("mask")?);
    if let (Some(from), Some(mask)) = (&from, &mask)
        && from.dimensions() != mask.dimensions()
    {
        let ((width, height), (w, h)) = (from.dimensions(), mask.dimensions());
        return Err(Fault::new(format!("the mask is {w}x{h} and its picture {width}x{height}"))
            .help("make the mask of the picture's size: white where it is redrawn, black where it stays")
            .about("mask"));
    }
    let multiple = pipeline.multiple() as u32;
    let native = pipeline.native_edge().unwrap_or(USUAL_EDGE) as u32;
    let (width, height) = match (step.size, &from) {
        (Some(size), _) => size,
        (None, Some(from)) => drawing::size_like(from.dimensions(), native, multiple),
        (None, None) => (native.next_multiple_of(multiple), native.next_multiple_of(multiple)),
    };
    let subject = Subject { negative_prompt: step.negative.clone(), ..Subject::new(&step.prompt, seed) };
    let (kind, karras) = match step.sampler {
        None => (None, None),
        Some(Sampler::Ddim) => (Some(SchedulerKind::Ddim), Some(false)),
        Some(Sampler::Euler) => (Some(SchedulerKind::Euler), Some(false)),
        Some(Sampler::EulerA) => (Some(SchedulerKind::EulerAncestral), Some(false)),
        Some(Sampler::Dpm2m) => (Some(SchedulerKind::DpmSolverMultistep), Some(false)),
        Some(Sampler::Dpm2mKarras) => (Some(SchedulerKind::DpmSolverMultistep), Some(true)),
        Some(Sampler::Lcm) => (Some(SchedulerKind::Lcm), Some(false)),
    };
    let source = match from {
        None => None,
        Some(from) => {
            let tensor = |picture: &RgbImage| {
                let fitted = drawing::cover(picture, width, height);
                Rgb8 { width: width as usize, height: height as usize, pixels: fitted.into_raw() }
            };
            let mask = mask.map(|mask| mask_from_rgb8(&tensor(&mask), &Device::cpu())).transpose();
            Some(Source {
                picture: from_rgb8(&tensor(&from), &Device::cpu()).map_err(about)?,
                strength: step.strength,
                mask: mask.map_err(about)?,
            })
        }
    };
    let request = DrawRequest {
        steps: step.steps as usize,
        scheduler: kind,
        karras,
        guidance_scale: step.cfg,
        guidance_rescale: step.rescale,
        clip_skip: step.clip_skip as usize,
        source,
        ..DrawRequest::new(vec![subject], height as usize, width as usize)
    };
    Ok((request, width, height))
}
