//! What `train_lora` reads and shows: pictures out of their file, grids that grow, and what they are worth.

use crate::drawing::image;
use crate::scoring::Judge;
use crate::step::{StepInput, media_fault};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use spinbot::Fault;
use spinbot::pictures::PicturesRead;
use spinbot::scores::{Identity, Scores};
use spinbot::training::LookScores;
use spinbot_media::grid::Grid;
use spinbot_media::{RgbImage, picture};
use spinbot_models::diffusion::pipeline::Rgb8;
use spinbot_models::diffusion::train::Example;
use std::collections::BTreeMap;
use std::path::Path;

/// Side of a grid's cell in pixels, and of all columns together.
const CELL: u32 = 160;
const WIDEST: u32 = 1600;

/// The pictures of `read_pictures`, and what is known of them.
pub(crate) fn examples(input: &StepInput) -> Result<(Vec<Example>, PicturesRead), Fault> {
    let fault =
        |why: String| Fault::new(format!("{}: is no file of pictures: {why}", input.label)).about("pictures");
    let bytes = std::fs::read(&input.path).map_err(|e| fault(e.to_string()))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| fault(e.to_string()))?;
    let record = header.metadata().as_ref().and_then(|fields| fields.get("spinbot.pictures"));
    let record = record.ok_or_else(|| fault("it does not say what they show".into()))?;
    let read: PicturesRead = serde_json::from_str(record).map_err(|e| fault(e.to_string()))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|e| fault(e.to_string()))?;
    let example = |(n, item): (usize, &spinbot::pictures::PictureItem)| {
        let tensor = tensors.tensor(&format!("picture.{n}")).map_err(|e| fault(e.to_string()))?;
        let &[height, width, 3] = tensor.shape() else {
            return Err(fault(format!("picture.{n} is {:?}", tensor.shape())));
        };
        if tensor.dtype() != Dtype::U8 {
            return Err(fault(format!("picture.{n} is {:?}", tensor.dtype())));
        }
        let picture = Rgb8 { width, height, pixels: tensor.data().to_vec() };
        Ok(Example { picture, caption: item.caption.clone(), held_out: item.held_out })
    };
    let examples = read.items.iter().enumerate().map(example).collect::<Result<_, _>>()?;
    Ok((examples, read))
}

/// Of whom the pictures are that are learned from, mirror images left out.
pub(crate) fn identity(judge: &Judge, examples: &[Example], read: &PicturesRead) -> Result<Identity, Fault> {
    let own = examples.iter().zip(&read.items).filter(|(_, item)| !item.mirrored);
    let images = own.map(|(example, item)| Ok((item, image(example.picture.clone())?)));
    let images = images.collect::<Result<Vec<_>, Fault>>()?;
    judge.identity(images.iter().map(|(item, image)| (item.name.as_str(), image, item.held_out)))
}

/// What the pictures of one time of looking are worth: those with the trigger word, and those without it.
pub(crate) fn look_scores(
    judge: &Judge,
    (step, images): (u32, &[RgbImage]),
    (prompts, trigger): (&[String], &str),
    identity: &Identity,
) -> Result<LookScores, Fault> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for (prompt, image) in prompts.iter().zip(images) {
        let scores = judge.score(std::slice::from_ref(image), prompt, Some(identity))?;
        let has_it =
            prompt.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case(trigger));
        if has_it { &mut with } else { &mut without }.extend(scores.pictures);
    }
    let (with, without) = (Scores::of(with, None, None, None), Scores::of(without, None, None, None));
    Ok(LookScores { step, identity: with.identity, without: without.identity, adherence: with.adherence })
}

/// Pictures of the same prompts, drawn at several steps.
pub(crate) struct Looks {
    prompts: Vec<String>,
    columns: BTreeMap<u32, Vec<RgbImage>>,
}

impl Looks {
    /// Of those prompts, with what an earlier run left in the folder up to that step.
    pub(crate) fn new(prompts: Vec<String>, folder: Option<&Path>, done: u32) -> Looks {
        let mut looks = Looks { prompts, columns: BTreeMap::new() };
        let files = folder.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        let steps = files.filter_map(|file| {
            file.file_name().to_str()?.strip_prefix("look-")?.strip_suffix("-0.png")?.parse::<u32>().ok()
        });
        for step in steps.filter(|step| *step <= done).collect::<Vec<_>>() {
            let read = |row: usize| {
                let path = folder?.join(name(step, row));
                let caps = picture::Caps { min_side: 8, ..picture::Caps::default() };
                picture::read(&path, "preview", &caps).ok()
            };
            // One that was not left whole is drawn again.
            if let Some(row) = (0..looks.prompts.len()).map(read).collect::<Option<Vec<_>>>() {
                looks.columns.insert(step, row);
            }
        }
        looks
    }

    pub(crate) fn prompts(&self) -> &[String] {
        &self.prompts
    }

    /// What was drawn at each step, in the order of the prompts.
    pub(crate) fn columns(&self) -> impl Iterator<Item = (u32, &[RgbImage])> {
        self.columns.iter().map(|(step, images)| (*step, images.as_slice()))
    }

    pub(crate) fn has(&self, step: u32) -> bool {
        self.columns.contains_key(&step)
    }

    /// Adds what was drawn at a step, and leaves it in the folder; where that fails it is drawn again after a stop.
    pub(crate) fn add(&mut self, step: u32, drawn: Vec<Rgb8>, folder: Option<&Path>) -> Result<(), Fault> {
        let images = drawn.into_iter().map(image).collect::<Result<Vec<_>, _>>()?;
        // The first last: it is what says that all are there.
        for (row, image) in images.iter().enumerate().rev() {
            let (Some(folder), Ok(bytes)) = (folder, picture::png_bytes(image)) else { continue };
            let _ = std::fs::write(folder.join(name(step, row)), bytes);
        }
        self.columns.insert(step, images);
        Ok(())
    }

    /// A row for each prompt, a column for each step, as PNG; with many steps only as many as fit.
    pub(crate) fn grid(&self, title: &str) -> Result<Vec<u8>, Fault> {
        let steps: Vec<u32> = self.columns.keys().copied().collect();
        let most = (WIDEST / CELL) as usize;
        let chosen: Vec<u32> = match steps.len() <= most {
            true => steps,
            false => (0..most).map(|n| steps[n * (steps.len() - 1) / (most - 1)]).collect(),
        };
        self.of(title, &chosen, |step| format!("step {step}"))
    }

    /// Before and after.
    pub(crate) fn ends(&self, title: &str) -> Result<Vec<u8>, Fault> {
        let ends: Vec<u32> =
            self.columns.keys().next().into_iter().chain(self.columns.keys().last()).copied().collect();
        self.of(title, &ends, |step| if step == 0 { "before".into() } else { format!("after {step} steps") })
    }

    fn of(&self, title: &str, steps: &[u32], name: impl Fn(u32) -> String) -> Result<Vec<u8>, Fault> {
        // Where nothing could be drawn the cells are empty, which says so.
        let columns = match steps.is_empty() {
            true => vec!["not drawn".to_owned()],
            false => steps.iter().map(|step| name(*step)).collect(),
        };
        let mut grid = Grid::new(title, self.prompts.clone(), columns).cell_side(CELL);
        let media = |error| media_fault(error, "prompts");
        for (column, step) in steps.iter().enumerate() {
            for (row, image) in self.columns.get(step).into_iter().flatten().enumerate() {
                grid.set(row, column, image.clone()).map_err(media)?;
            }
        }
        picture::png_bytes(&grid.render().map_err(media)?).map_err(media)
    }
}

fn name(step: u32, row: usize) -> String {
    format!("look-{step}-{row}.png")
}
