//! What a drawn portrait shows: its answers to what a prompt asks, and whose portrait it is.
//!
//! One small residual network, trained for this project on the drawings of the embedded model's recipe
//! (`recipes/tiny/train/train_reader.py`). Of photographs it knows nothing: whose face is in one, [`crate::faces`] tells.

mod question;

use crate::device::Device;
use crate::embedded;
use crate::error::{ModelError, Result};
use crate::picture::Picture;
use crate::residual::{Stage, Weights};
use crate::tensor_file::TensorFile;
use candle_core::{D, Module, Tensor};
use candle_nn::Linear;
use candle_nn::ops::softmax;
pub use question::{Answer, Question};
use question::{Asked, Attribute};
use serde::Deserialize;

const ID: &str = "portrait-reader";
/// Where the file says what it answers.
const ABOUT: &str = "spinbot.reader";
/// Side of the network's input in pixels.
const INPUT: usize = 128;
/// Outputs of its stages, each of which halves the side.
const WIDTHS: [usize; 5] = [16, 32, 64, 128, 192];
/// Numbers that all is told by.
const FEATURES: usize = 256;
/// Numbers of a [`Figure`].
const NUMBERS: usize = 64;

/// Whose portrait it is, in 64 numbers of length 1: near one another for one figure, whatever its expression, pose and
/// background.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure(pub [f32; NUMBERS]);

impl Figure {
    /// How alike two are: -1..=1; most portraits of one drawn figure are above 0.8, of two below 0.4.
    pub fn likeness(&self, other: &Figure) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum()
    }
}

/// What was read off one portrait.
#[derive(Debug, Clone, PartialEq)]
pub struct Portrait {
    /// Whose it is.
    pub figure: Figure,
    /// By attribute, how likely each of its values is.
    shares: Vec<Vec<f32>>,
}

/// Reads portraits. Loaded once, used for many.
pub struct PortraitReader {
    device: candle_core::Device,
    stages: Vec<Stage>,
    features: Linear,
    attributes: Linear,
    figure: Linear,
    about: About,
}

/// What the file says of itself.
#[derive(Debug, Deserialize)]
struct About {
    attributes: Vec<Attribute>,
    questions: Vec<Asked>,
}

impl PortraitReader {
    /// Loads the built-in weights onto the device.
    ///
    /// # Errors
    /// [`ModelError::Tensor`] when the device is out of memory.
    pub fn load(device: &Device) -> Result<Self> {
        let refuse = |reason: String| ModelError::Weights { model: ID.into(), reason };
        let file = TensorFile::from_bytes(ID, embedded::bytes(ID).unwrap_or_default())?;
        let about =
            file.metadata().get(ABOUT).ok_or_else(|| refuse("it does not say what it answers".into()))?;
        let about: About = serde_json::from_str(about).map_err(|e| refuse(e.to_string()))?;
        let answers = about.attributes.iter().map(|attribute| attribute.values.len()).sum();
        let weights = Weights { model: ID, file, device: device.0.clone() };
        let side = INPUT >> WIDTHS.len();
        Ok(PortraitReader {
            stages: weights.stages(&WIDTHS)?,
            features: weights.linear("features", WIDTHS[WIDTHS.len() - 1] * side * side, FEATURES)?,
            attributes: weights.linear("attributes", FEATURES, answers)?,
            figure: weights.linear("figure", FEATURES, NUMBERS)?,
            device: weights.device,
            about,
        })
    }

    /// What the middle square of a picture of `width * height * 3` RGB bytes shows.
    ///
    /// # Errors
    /// [`ModelError::Picture`] when the size makes no sense or does not fit the bytes.
    pub fn read(&self, rgb: &[u8], width: u32, height: u32) -> Result<Portrait> {
        let picture = Picture::new(rgb, width, height)?;
        let middle = picture.middle();
        let mut input = picture.square(middle, middle.w, (0, 0), INPUT).values;
        input.iter_mut().for_each(|value| *value = *value / 127.5 - 1.0);
        self.forward(input).map_err(ModelError::tensor("reading a portrait"))
    }

    fn forward(&self, input: Vec<f32>) -> candle_core::Result<Portrait> {
        let mut x = Tensor::from_vec(input, (1, 3, INPUT, INPUT), &self.device)?;
        for stage in &self.stages {
            x = stage.forward(&x)?;
        }
        let x = self.features.forward(&x.flatten_from(1)?)?.relu()?;
        let figure = self.figure.forward(&x)?;
        let length = figure.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
        let figure = figure.broadcast_div(&(length + 1e-12)?)?.flatten_all()?.to_vec1::<f32>()?;
        let mut numbers = [0.0; NUMBERS];
        numbers.iter_mut().zip(figure).for_each(|(place, number)| *place = number);
        let answers = self.attributes.forward(&x)?;
        let mut first = 0;
        let shares = self.about.attributes.iter().map(|attribute| {
            let own = answers.narrow(1, first, attribute.values.len())?;
            first += attribute.values.len();
            softmax(&own, 1)?.flatten_all()?.to_vec1()
        });
        Ok(Portrait { figure: Figure(numbers), shares: shares.collect::<candle_core::Result<_>>()? })
    }

    /// What a prompt asks of a portrait that can be told from the picture; nothing of what it says else.
    pub fn questions(&self, prompt: &str) -> Vec<Question> {
        question::asked(prompt, &self.about.attributes, &self.about.questions)
    }

    /// What a portrait shows of what was asked.
    pub fn answer(&self, portrait: &Portrait, question: &Question) -> Answer {
        let values = self.about.attributes.get(question.attribute).map_or(&[][..], |found| &found.values);
        let shares = portrait.shares.get(question.attribute).map_or(&[][..], Vec::as_slice);
        let best = shares.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(at, _)| at);
        Answer {
            seen: values.get(best).cloned().unwrap_or_default(),
            obeyed: question.values.contains(&best),
            share: question.values.iter().filter_map(|at| shares.get(*at)).sum(),
        }
    }
}

#[cfg(test)]
mod tests;
