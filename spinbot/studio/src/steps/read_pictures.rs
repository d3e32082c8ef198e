//! `read_pictures`: pictures to learn from, oriented, cropped and scaled, each with its caption.

use crate::pictures::bucket::Buckets;
use crate::pictures::caption;
use crate::pictures::reader::{Reader, Taken};
use crate::step::{Inputs, Report, Run, StepError, StepOutput, in_range, media_fault, model_fault, numbered};
use safetensors::tensor::{Dtype, TensorView};
use spinbot::pictures::{Captions, Crop, LeftOut, MOST_PICTURES, PictureItem, PicturesRead};
use spinbot::{Fault, steps::ReadPictures};
use spinbot_media::RgbImage;
use spinbot_media::album::{Album, Framed};
use spinbot_models::diffusion::checkpoint::Checkpoint;
use std::collections::HashMap;

/// What sides are multiples of where no model says so: Stable Diffusion's.
const MULTIPLE: u32 = 64;
/// Side where neither the parameters nor a model say one.
const RESOLUTION: u32 = 512;
/// From this many pictures on, one is kept back; and one more for every so many, up to so many.
const LEAST_TO_HOLD_OUT: usize = 5;
const ONE_OF: usize = 20;
const MOST_HELD_OUT: usize = 4;
/// Most pixels of all pictures together: they are one file, and in memory at once.
const MOST_PIXELS: u64 = 350_000_000;
/// Pictures that are enlarged more than this are told of.
const BLURRED: f32 = 1.5;
/// Where the record lies in the file's metadata.
const RECORD: &str = "spinbot.pictures";

impl Run for ReadPictures {
    const MODELS: &'static [&'static str] = &["face-detector", "face-landmarks"];

    fn check(&self) -> Result<(), Fault> {
        if let Some(resolution) = self.resolution {
            in_range("resolution", resolution, 64, 2048)?;
        }
        if self.trigger.is_empty() || self.trigger.contains(char::is_whitespace) {
            return Err(Fault::new(format!("the trigger `{}` is not one word", self.trigger))
                .help("choose a word of letters that means nothing else")
                .about("trigger"));
        }
        match &self.captions {
            Captions::Words(words) if words.trim().is_empty() || words.len() > caption::LONGEST => {
                Err(Fault::new("the caption is empty, or too long")
                    .help("say in a sentence what the pictures show")
                    .about("caption_from"))
            }
            _ => Ok(()),
        }
    }

    fn run(&self, inputs: &Inputs, seed: u64, report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        let given = numbered(inputs, "picture");
        if given.len() > MOST_PICTURES {
            let message = format!("{} pictures were given, the most is {MOST_PICTURES}", given.len());
            return Err(Fault::new(message).help("choose the best of them").about("picture").into());
        }
        let (resolution, multiple) = size(self, inputs)?;
        let reader = Reader::new(self, Buckets::new(resolution, multiple))?;
        let mut told = PicturesRead { trigger: self.trigger.clone(), ..PicturesRead::default() };
        let mut leave_out = |name: &str, why: String| {
            told.left_out.push(LeftOut { name: name.to_owned(), why });
        };
        for name in &self.empty {
            leave_out(name, format!("{name}: the file is empty"));
        }
        let (mut read, mut known) = (Vec::new(), HashMap::new());
        let (mut pixels, total) = (0, given.len() as f64);
        let mut first_fault = None;
        for (i, (name, input)) in given.iter().enumerate() {
            if let Some(before) = known.get(input.sha256.as_str()) {
                leave_out(&input.label, format!("{}: is the same picture as {before}", input.label));
            } else {
                known.insert(input.sha256.as_str(), input.label.as_str());
                let words = name.strip_prefix("picture").and_then(|n| inputs.get(&format!("caption{n}")));
                match reader.read(input, words) {
                    Ok(one) => {
                        pixels += u64::from(one.picture.width()) * u64::from(one.picture.height());
                        read.push(one);
                    }
                    Err(fault) => {
                        leave_out(&input.label, fault.message.clone());
                        first_fault.get_or_insert(fault.about(*name));
                    }
                }
            }
            if pixels * (1 + u64::from(self.flip)) > MOST_PIXELS {
                return Err(Fault::new(format!(
                    "{} pictures of {resolution} px are more than fit in memory at once",
                    given.len()
                ))
                .help("learn from fewer of them, or at a lower --resolution")
                .about("resolution")
                .into());
            }
            report.progress((i + 1) as f64, total, "pictures");
            if report.cancelled() {
                return Err(StepError::Cancelled);
            }
        }
        if read.is_empty() {
            // One picture's own fault says more than that none is left.
            let none = Fault::new(format!("none of {} pictures can be read", given.len()))
                .help("give PNG, JPEG or WebP pictures")
                .about("picture");
            return Err(first_fault.filter(|_| given.len() == 1).unwrap_or(none).into());
        }
        for one in held_out(self, &read, seed) {
            read[one].held_out = true;
        }
        told.notes = notes(self, &read, &told.left_out, resolution);
        for line in told.left_out.iter().map(|left| &left.why).chain(&told.notes) {
            report.log(line);
        }
        finish(read, told, self.flip)
    }
}

/// Resolution, and what sides are multiples of.
fn size(step: &ReadPictures, inputs: &Inputs) -> Result<(u32, u32), Fault> {
    let own = match inputs.get("model") {
        Some(model) => {
            let opened = Checkpoint::open(&model.path, None).and_then(|model| model.picture_size());
            opened.map(Some).map_err(|error| model_fault(error).about("model"))?
        }
        None => None,
    };
    let (side, multiple) = own.unwrap_or((RESOLUTION, MULTIPLE));
    let resolution = step.resolution.unwrap_or(side);
    if resolution < multiple {
        return Err(Fault::new(format!(
            "the resolution is {resolution}, the model needs {multiple} or more"
        ))
        .help(format!("choose a multiple of {multiple}"))
        .about("resolution"));
    }
    Ok((resolution, multiple))
}

/// Which are kept back: of those with a face, where there are any, those with the lowest of mixed hashes. So it
/// depends on the pictures and the seed, not on their names or their order.
fn held_out(step: &ReadPictures, read: &[Taken], seed: u64) -> Vec<usize> {
    if !step.hold_out || read.len() < LEAST_TO_HOLD_OUT {
        return Vec::new();
    }
    let count = (read.len() / ONE_OF).clamp(1, MOST_HELD_OUT);
    let mixed = |one: &Taken| {
        let digits = one.sha256.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        digits.unwrap_or_default() ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    let mut order: Vec<usize> = (0..read.len()).collect();
    order.sort_by_key(|&i| (read[i].face.is_none(), mixed(&read[i])));
    order.truncate(count);
    order
}

/// What whoever gave the pictures should know.
fn notes(step: &ReadPictures, read: &[Taken], left_out: &[LeftOut], resolution: u32) -> Vec<String> {
    let names = |pick: &dyn Fn(&Taken) -> bool| {
        let names: Vec<&str> = read.iter().filter(|one| pick(one)).map(|one| one.name.as_str()).collect();
        (!names.is_empty()).then(|| shortened(&names))
    };
    let mut notes = Vec::new();
    if let Some(names) = names(&|one| one.held_out) {
        notes.push(format!("kept back to measure on, not learned from: {names}"));
    }
    if let Some(names) = names(&|one| one.faces == 0) {
        let whole = if step.crop == Crop::Face { "; the whole picture is taken" } else { "" };
        notes.push(format!("no face found in {names}{whole}"));
    }
    if let Some(names) = names(&|one| one.faces > 1) {
        notes.push(format!("several faces in {names}: the largest near the middle is taken to be meant"));
    }
    if let Some(names) = names(&|one| one.enlarged > BLURRED) {
        notes.push(format!(
            "enlarged more than {BLURRED} times to {resolution} px, so they are soft: {names}"
        ));
    }
    if let Some(names) = names(&|one| one.prefixed) {
        notes.push(format!("the trigger word was put before captions without it: {names}"));
    }
    if step.captions == Captions::Files && read.iter().any(|one| one.written) {
        if let Some(names) = names(&|one| !one.written) {
            notes.push(format!("no caption beside {names}: told by what is seen"));
        }
    }
    notes.extend(read.iter().filter_map(|one| one.caption_unread.clone()));
    if read.len() == 1 {
        notes.push("one picture alone is learned with its pose and its background: more are better".into());
    }
    if let Some(left) = left_out.len().checked_sub(1) {
        notes.push(format!("left out: {} of {}", left + 1, read.len() + left + 1));
    }
    notes
}

/// A few names, and how many more there are.
fn shortened(names: &[&str]) -> String {
    const MOST: usize = 6;
    match names.split_at_checked(MOST) {
        Some((first, rest)) if !rest.is_empty() => format!("{} and {} more", first.join(", "), rest.len()),
        _ => names.join(", "),
    }
}

/// The outputs.
fn finish(read: Vec<Taken>, mut told: PicturesRead, flip: bool) -> Result<Vec<StepOutput>, StepError> {
    let mut album = Album::new();
    let mut tensors: Vec<RgbImage> = Vec::new();
    for one in read {
        let (width, height) = one.picture.dimensions();
        album.add(
            &one.picture,
            if one.held_out { Framed::Apart } else { Framed::Plain },
            &match one.held_out {
                true => format!("kept back: {}", one.caption),
                false => one.caption.clone(),
            },
        );
        let item = PictureItem {
            name: one.name,
            caption: one.caption,
            width,
            height,
            face: one.face,
            held_out: one.held_out,
            mirrored: false,
        };
        if flip && !item.held_out {
            let face = item.face.map(|[x, y, w, h]| [width as f32 - x - w, y, w, h]);
            let caption = caption::mirrored(&item.caption);
            let mirrored = PictureItem { caption, face, mirrored: true, ..item.clone() };
            let picture = image::imageops::flip_horizontal(&one.picture);
            told.items.push(item);
            tensors.push(one.picture);
            told.items.push(mirrored);
            tensors.push(picture);
        } else {
            told.items.push(item);
            tensors.push(one.picture);
        }
    }
    let unwritten = |what: &str, error: &dyn std::fmt::Display| {
        Fault::new(format!("{what} could not be written: {error}"))
    };
    let json = serde_json::to_string(&told).map_err(|e| unwritten("what was found in the pictures", &e))?;
    let views = tensors
        .iter()
        .enumerate()
        .map(|(i, picture)| {
            let shape = vec![picture.height() as usize, picture.width() as usize, 3];
            Ok((format!("picture.{i}"), TensorView::new(Dtype::U8, shape, picture.as_raw())?))
        })
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| unwritten("the pictures", &e))?;
    let metadata = HashMap::from([(RECORD.to_owned(), json.clone())]);
    let pictures =
        safetensors::serialize(views, Some(metadata)).map_err(|e| unwritten("the pictures", &e))?;
    let sheet = album.png().map_err(|error| media_fault(error, "picture"))?;
    Ok(vec![
        StepOutput { name: "pictures", media_type: "application/octet-stream", bytes: pictures },
        StepOutput { name: "sheet", media_type: "image/png", bytes: sheet },
        StepOutput { name: "report", media_type: "application/json", bytes: json.into_bytes() },
    ])
}
