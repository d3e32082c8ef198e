//! What a drawing leaves: pictures, their grid, and what they are worth. How one is planned is in
//! [`crate::draw`](mod@crate::draw).

use crate::bundle::{Bundle, Image, Show};
use crate::event::ArtifactRef;
use crate::loras::copy_whole;
use crate::scores::Scores;
use crate::{Fault, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A picture that was drawn: a PNG file that says in its text chunks what it was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrawnPicture {
    pub(crate) seed: u64,
    pub(crate) file: ArtifactRef,
}

impl DrawnPicture {
    /// The seed of its noise.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Where its file lies.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// When the file is gone.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        self.file.bytes()
    }

    /// Copies the file to `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        copy_whole(self.path(), path.as_ref())
    }

    /// The picture as an artifact of the store.
    pub fn artifact(&self) -> &ArtifactRef {
        &self.file
    }
}

impl Show for DrawnPicture {
    fn bundle(&self) -> Bundle {
        let described = format!("Picture of seed {}: {}", self.seed, self.path().display());
        match Image::file(self.path()) {
            Ok(image) => image.bundle().with("text/plain", described),
            Err(_) => Bundle::text(format!("{described} (the file is gone)")),
        }
    }
}

/// Pictures that were drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    pub(crate) job: String,
    pub(crate) prompt: String,
    pub(crate) model: String,
    pub(crate) pictures: Vec<DrawnPicture>,
    pub(crate) grid: Option<ArtifactRef>,
    pub(crate) scores: Scores,
    pub(crate) seconds: f64,
}

impl Drawn {
    /// What a magic left, from [`Drawn::to_json`].
    ///
    /// # Errors
    /// When the text is of something else.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|e| Fault::new(format!("this is nothing that was drawn: {e}")))
    }

    /// As text, to hand it from one process to another.
    ///
    /// # Errors
    /// When a path is not Unicode.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Fault::new(format!("what was drawn cannot be written as JSON: {e}")))
    }

    /// The pictures, in the order of their seeds.
    pub fn pictures(&self) -> &[DrawnPicture] {
        &self.pictures
    }

    /// All of them in one JPEG with their seeds; of a single picture nothing.
    pub fn grid(&self) -> Option<&ArtifactRef> {
        self.grid.as_ref()
    }

    /// What they are worth: of whom they are, whether they show what was asked, how much they differ.
    pub fn scores(&self) -> &Scores {
        &self.scores
    }

    /// The id of the model that drew them.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What they show.
    pub fn prompt(&self) -> &str {
        &self.prompt
    }

    /// Wall seconds the job took.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The job that made them.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Copies the picture to a file `path`; several into the folder `path`, as `SEED.png`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        if let [only] = self.pictures.as_slice()
            && !path.is_dir()
        {
            return only.save(path);
        }
        std::fs::create_dir_all(path)
            .map_err(|e| Fault::new(format!("{}: cannot be made: {e}", path.display())))?;
        self.pictures.iter().try_for_each(|picture| picture.save(path.join(format!("{}.png", picture.seed))))
    }
}

impl Show for Drawn {
    fn bundle(&self) -> Bundle {
        let shown = match (&self.grid, self.pictures.as_slice()) {
            (Some(grid), _) => Image::file(&grid.path).map(|image| image.bundle()),
            (None, [only, ..]) => Ok(only.bundle()),
            (None, []) => Ok(Bundle::default()),
        };
        let described = format!("{} drawn by job {}", count(self.pictures.len()), self.job);
        match shown {
            Ok(bundle) => bundle.with("text/plain", described),
            Err(_) => Bundle::text(format!("{described} (the file is gone)")),
        }
    }
}

/// `1 picture`, `4 pictures`.
fn count(pictures: usize) -> String {
    if pictures == 1 { "1 picture".into() } else { format!("{pictures} pictures") }
}
