//! Pictures that a model learns from: which files are meant, the captions beside them, and what
//! [`ReadPictures`](crate::steps::ReadPictures) tells of them.
//!
//! What is in the files is looked at by the step alone.

use crate::expand::Sought;
use crate::{Fault, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Extensions of files that are taken for pictures in a folder.
pub const PICTURE_EXTENSIONS: &[&str] = &["png", "jpg", "jpeg", "jpe", "jfif", "webp"];
/// More pictures than this are a mistake.
pub const MOST_PICTURES: usize = 1000;

/// The pictures a path stands for, sorted: the file itself, those in a folder, or those a pattern matches.
///
/// # Errors
/// When there are none, or the folder cannot be read.
pub fn pictures(path: &Path) -> Result<Vec<PathBuf>> {
    let sought = Sought { noun: "picture", extensions: PICTURE_EXTENSIONS, argument: "pictures" };
    let is_caption = |path: &PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("txt"));
    let mut found = sought.in_path(path)?;
    // A pattern as `photos/*` matches the captions too. One that is named alone is told to be no picture by the step.
    if found.len() > 1 {
        found.retain(|path| !is_caption(path));
    }
    match found.is_empty() {
        true => Err(Fault::new(format!("{}: there are captions, but no picture", path.display()))
            .help(format!("pictures end in {}", PICTURE_EXTENSIONS.join(", ")))
            .about("pictures")),
        false => Ok(found),
    }
}

/// The caption file that belongs to a picture: `nova.txt` beside `nova.png`, where there is one and it is not empty.
pub(crate) fn caption_beside(picture: &Path) -> Option<PathBuf> {
    let path = picture.with_extension("txt");
    // The engine takes no empty file, and one says nothing.
    std::fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() > 0).then_some(path)
}

/// Where captions come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Captions {
    /// A text file beside each picture; where there is none, what is seen.
    #[default]
    Files,
    /// What the face detector and the pixels tell.
    Auto,
    /// These words, for every picture.
    Words(String),
}

/// How much of a picture is learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crop {
    /// A square around the face where there is one, else as `Whole`.
    #[default]
    Face,
    /// All of it but the strip that makes it fit its aspect bucket.
    Whole,
}

impl Crop {
    /// By name.
    pub const NAMES: &'static [&'static str] = &["face", "whole"];
}

impl std::str::FromStr for Crop {
    type Err = Fault;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "face" => Ok(Crop::Face),
            "whole" => Ok(Crop::Whole),
            other => Err(Fault::not_among(format!("`{other}` is no way to crop"), Crop::NAMES, "crop")),
        }
    }
}

/// What `read_pictures` found: its output `report`, and the text `spinbot.pictures` in the metadata of `pictures`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PicturesRead {
    /// The word that stands for what is learned.
    pub trigger: String,
    /// The pictures, in the order of the tensors `picture.N`.
    pub items: Vec<PictureItem>,
    /// Pictures that are not among them, and why.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// What whoever gave the pictures should know, as sentences.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl PicturesRead {
    /// How many are learned from, mirror images not counted.
    pub fn learned(&self) -> usize {
        self.items.iter().filter(|item| !item.held_out && !item.mirrored).count()
    }

    /// How many are kept back.
    pub fn held_out(&self) -> usize {
        self.items.iter().filter(|item| item.held_out).count()
    }
}

/// One picture to learn from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PictureItem {
    /// What the user called it.
    pub name: String,
    /// What it is said to show, with the trigger word in it.
    pub caption: String,
    /// Pixels across, as it is learned from.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// The face: left, top, width, height in those pixels.
    pub face: Option<[f32; 4]>,
    /// Kept back to measure on, never learned from.
    pub held_out: bool,
    /// The mirror image of the one before it.
    #[serde(default)]
    pub mirrored: bool,
}

/// A picture that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// What the user called it.
    pub name: String,
    /// Why, as a sentence that names it.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_found_without_their_captions() {
        let folder = crate::voices::test_folder();
        std::fs::create_dir_all(folder.join("words")).unwrap();
        for (name, text) in [
            ("b.JPG", "x"),
            ("a.png", "x"),
            ("a.txt", "a cat"),
            ("b.txt", ""),
            ("words/a.txt", "x"),
            ("words/b.txt", "x"),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let names = |path: &str| -> Result<Vec<String>> {
            let found = pictures(&folder.join(path))?;
            Ok(found.iter().map(|p| p.strip_prefix(&folder).unwrap().display().to_string()).collect())
        };
        for path in ["", "*", "*.*"] {
            assert_eq!(names(path).unwrap(), ["a.png", "b.JPG"], "{path}");
        }
        assert_eq!(names("a.txt").unwrap(), ["a.txt"]);
        assert!(names("words").unwrap_err().message.ends_with("there is no picture in this folder"));
        assert!(names("words/*").unwrap_err().message.ends_with("there are captions, but no picture"));
        assert_eq!(caption_beside(&folder.join("a.png")), Some(folder.join("a.txt")));
        assert_eq!(caption_beside(&folder.join("b.JPG")), None);
        assert_eq!(caption_beside(&folder.join("c.png")), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
