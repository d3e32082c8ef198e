//! From the files of packages to the one weight file this crate loads. Pure functions of bytes: no files, no
//! network, the same output for the same input on every machine (its hash is in the manifest). One file a recipe;
//! [`onnx`] reads the tensors of an ONNX file for any of them.

mod dnsmos;
mod dvector;
mod face_api;
mod ge2e;
mod kokoro;
mod onnx;
mod tflite;
mod whisper;

use crate::manifest::{Recipe, SourceFile};
pub(crate) use face_api::RANGE_SUFFIX;
use safetensors::tensor::{Dtype, View};
use std::borrow::Cow;

/// Ends the name of the scale that belongs to an int8 tensor.
pub(crate) const SCALE_SUFFIX: &str = ".scale";

/// Makes the converted file from the packages' files, which come with their entries in the manifest's order. The
/// error is a reason, to be told with the packages' names.
pub(crate) fn run(recipe: Recipe, entries: &[&SourceFile], files: Vec<Vec<u8>>) -> Result<Vec<u8>, String> {
    match recipe {
        Recipe::Join => Ok(files.concat()),
        Recipe::Trained => Err("it is trained, not made of packages".into()),
        Recipe::FaceApi => match &files[..] {
            [listing, weights] => face_api::convert(listing, weights),
            _ => Err(format!("expected a weight list and its bytes, got {} files", files.len())),
        },
        Recipe::Dnsmos => dnsmos::convert(entries.iter().map(|entry| entry.path.as_str()).zip(&files)),
        Recipe::Dvector => match &files[..] {
            [onnx] => dvector::convert(onnx),
            _ => Err(format!("expected one ONNX file, got {} files", files.len())),
        },
        Recipe::Whisper => match &files[..] {
            [model, vocabulary, config] => whisper::convert(model, vocabulary, config),
            _ => {
                Err(format!("expected a model, a vocabulary and a configuration, got {} files", files.len()))
            }
        },
        Recipe::Ge2e => match &files[..] {
            [checkpoint] => ge2e::convert(checkpoint),
            _ => Err(format!("expected one checkpoint, got {} files", files.len())),
        },
        Recipe::Tflite => match &files[..] {
            [graph] => tflite::convert(graph),
            _ => Err(format!("expected one .tflite file, got {} files", files.len())),
        },
        Recipe::Kokoro => kokoro::weights(files),
        Recipe::KokoroVoices => kokoro::voices(entries.iter().map(|entry| entry.path.as_str()).zip(&files)),
    }
}

/// Row-major [rows, columns] -> [columns, rows] of values `width` bytes wide.
fn transpose(values: &[u8], width: usize, rows: usize, columns: usize) -> Vec<u8> {
    let places = (0..columns).flat_map(|c| (0..rows).map(move |r| (r * columns + c) * width));
    places.flat_map(|place| values[place..place + width].iter().copied()).collect()
}

/// A tensor of f32 that is computed when it is written, so that a big file's tensors are never all in memory
/// twice.
struct Lazy<'a> {
    shape: Vec<usize>,
    /// Gives as many values as the shape has places.
    values: Box<dyn Fn() -> Vec<f32> + 'a>,
}

impl View for &Lazy<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        (self.values)().into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn joined_files_are_their_bytes_in_order() {
        assert_eq!(run(Recipe::Join, &[], vec![vec![1, 2], vec![], vec![3]]).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn a_recipe_that_gets_too_few_files_says_so() {
        assert!(run(Recipe::FaceApi, &[], vec![vec![]]).unwrap_err().contains("got 1 files"));
    }
}
