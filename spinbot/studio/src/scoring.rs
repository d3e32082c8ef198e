//! What pictures are worth: of whom they are, whether they show what was asked, how much they differ.
//!
//! The networks are `spinbot-models`'; what is told of them, `spinbot::scores`. Steps call this, and decide nothing
//! about pictures themselves.

use crate::pictures::window::main_face;
use crate::step::model_fault;
use image::RgbImage;
use spinbot::Fault;
use spinbot::scores::{Answered, Identity, IdentityBy, IdentityPicture, PictureScores, Scores};
use spinbot_models::faces::{FaceDetector, FaceRecogniser, Faceprint, Landmarker, SAME_PERSON};
use spinbot_models::portrait_reader::{Figure, Portrait, PortraitReader};
use spinbot_models::{Device, ModelError};

/// Ids of the models that tell.
pub(crate) const MODELS: &[&str] =
    &["portrait-reader", "face-detector", "face-landmarks", "face-recognition"];
/// Score from which a box counts as a face.
const FACE: f32 = 0.5;
/// A difference of neighbouring pixels up to this, of 255, is none: what files in JPEG leave of an even area.
const EVEN: u8 = 2;
/// Pictures with a larger share of even neighbours are drawn (0.63 and more where it was measured); photographs have texture
/// nearly everywhere (0.43 and less).
const DRAWN: f64 = 0.5;

/// What tells.
pub(crate) struct Judge {
    reader: PortraitReader,
    detector: FaceDetector,
    landmarker: Landmarker,
    recogniser: FaceRecogniser,
}

impl Judge {
    pub(crate) fn load() -> Result<Judge, ModelError> {
        let device = Device::cpu();
        Ok(Judge {
            reader: PortraitReader::load(&device)?,
            detector: FaceDetector::load(&device)?.with_threshold(FACE),
            landmarker: Landmarker::load(&device)?,
            recogniser: FaceRecogniser::load(&device)?,
        })
    }

    /// Of whom these pictures are. By the face, where they are photographs and
    /// most have a face that is the same person's; else by the figure.
    pub(crate) fn identity<'a>(
        &self,
        pictures: impl Iterator<Item = (&'a str, &'a RgbImage, bool)>,
    ) -> Result<Identity, Fault> {
        let pictures: Vec<_> = pictures.collect();
        let photographs = pictures.iter().filter(|(_, picture, _)| even(picture) < DRAWN).count();
        let numbers = |name: &str, held_out: bool, numbers: &[f32]| IdentityPicture {
            name: name.to_owned(),
            held_out,
            numbers: numbers.to_vec(),
        };
        if 2 * photographs > pictures.len() {
            let (mut faces, mut found) = (Vec::new(), Vec::new());
            for (name, picture, held_out) in &pictures {
                if let Some(face) = self.face(picture)? {
                    faces.push(face);
                    found.push((*name, *held_out));
                }
            }
            let one_person = mean_of_pairs(&faces, Faceprint::distance)
                .is_none_or(|apart| apart <= f64::from(SAME_PERSON));
            if 2 * faces.len() >= pictures.len() && one_person {
                let faces =
                    faces.iter().zip(found).map(|(face, (name, held_out))| numbers(name, held_out, &face.0));
                return Ok(Identity { by: IdentityBy::Face, pictures: faces.collect() });
            }
        }
        let mut figures = Vec::new();
        for (name, picture, held_out) in &pictures {
            figures.push(numbers(name, *held_out, &self.see(picture)?.figure.0));
        }
        Ok(Identity { by: IdentityBy::Figure, pictures: figures })
    }

    /// Scores the pictures of one prompt.
    pub(crate) fn score(
        &self,
        pictures: &[RgbImage],
        prompt: &str,
        identity: Option<&Identity>,
    ) -> Result<Scores, Fault> {
        let questions = self.reader.questions(prompt);
        let mut scored = Vec::with_capacity(pictures.len());
        let mut figures = Vec::with_capacity(pictures.len());
        for picture in pictures {
            let seen = self.see(picture)?;
            // The reader knows drawings, and would tell nonsense of a photograph.
            let told = !questions.is_empty() && even(picture) >= DRAWN;
            let asked = if told { questions.as_slice() } else { &[] };
            let answers = asked.iter().map(|question| {
                let answer = self.reader.answer(&seen, question);
                Answered {
                    about: question.about.clone(),
                    asked: question.words.clone(),
                    seen: answer.seen,
                    obeyed: answer.obeyed,
                }
            });
            let identity = match identity {
                Some(identity) => self.alike(picture, &seen.figure, identity)?,
                None => None,
            };
            scored.push(PictureScores { identity, answers: answers.collect() });
            figures.push(seen.figure);
        }
        let diversity = mean_of_pairs(&figures, Figure::likeness).map(|alike| (1.0 - alike).clamp(0.0, 1.0));
        Ok(Scores::of(scored, identity.map(|identity| identity.by), identity.and_then(own), diversity))
    }

    fn see(&self, picture: &RgbImage) -> Result<Portrait, Fault> {
        self.reader.read(picture.as_raw(), picture.width(), picture.height()).map_err(model_fault)
    }

    /// The face that is meant, as numbers; nothing where none is found.
    fn face(&self, picture: &RgbImage) -> Result<Option<Faceprint>, Fault> {
        let (width, height) = picture.dimensions();
        let found = self.detector.detect(picture.as_raw(), width, height).map_err(model_fault)?;
        let Some(face) = main_face(&found, (width, height)) else { return Ok(None) };
        let points = self.landmarker.landmarks_refined(picture.as_raw(), width, height, face);
        let points = points.map_err(model_fault)?;
        match self.recogniser.recognise(picture.as_raw(), width, height, &points) {
            Ok(print) => Ok(Some(print)),
            // A face at the very edge has landmarks outside the picture.
            Err(ModelError::FaceBox { .. }) => Ok(None),
            Err(error) => Err(model_fault(error)),
        }
    }

    fn alike(&self, picture: &RgbImage, figure: &Figure, identity: &Identity) -> Result<Option<f64>, Fault> {
        Ok(match identity.by {
            IdentityBy::Figure => likeness(IdentityBy::Figure, &figure.0, &measured_on(identity)),
            // Without a face there is nobody.
            IdentityBy::Face => self
                .face(picture)?
                .map_or(Some(0.0), |face| likeness(IdentityBy::Face, &face.0, &measured_on(identity))),
        })
    }
}

/// The pictures that others are held against: those that were not learned from, where there are such.
fn measured_on(identity: &Identity) -> Vec<&IdentityPicture> {
    let held_out: Vec<_> = identity.pictures.iter().filter(|picture| picture.held_out).collect();
    if held_out.is_empty() { identity.pictures.iter().collect() } else { held_out }
}

/// What the pictures that were learned from come to, each against those that others are held against too, but itself.
pub(crate) fn own(identity: &Identity) -> Option<f64> {
    let against = measured_on(identity);
    let learned = identity.pictures.iter().filter(|picture| !picture.held_out);
    let scores: Vec<f64> = learned
        .filter_map(|picture| {
            let others: Vec<_> =
                against.iter().copied().filter(|other| !std::ptr::eq(*other, picture)).collect();
            likeness(identity.by, &picture.numbers, &others)
        })
        .collect();
    (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64)
}

/// Mean likeness to those pictures, 0..=1; nothing where there are none.
fn likeness(by: IdentityBy, numbers: &[f32], pictures: &[&IdentityPicture]) -> Option<f64> {
    let one = |picture: &IdentityPicture| match by {
        IdentityBy::Face => {
            1.0 - Faceprint(fixed(numbers)).distance(&Faceprint(fixed(&picture.numbers)))
                / (2.0 * SAME_PERSON)
        }
        IdentityBy::Figure => Figure(fixed(numbers)).likeness(&Figure(fixed(&picture.numbers))),
    };
    let sum: f64 = pictures.iter().map(|picture| f64::from(one(picture))).sum();
    (!pictures.is_empty()).then(|| (sum / pictures.len() as f64).clamp(0.0, 1.0))
}

/// The mean over all pairs of two; nothing where there are none.
fn mean_of_pairs<T>(all: &[T], of: impl Fn(&T, &T) -> f32) -> Option<f64> {
    let pairs = all.iter().enumerate().flat_map(|(n, a)| all[..n].iter().map(move |b| (a, b)));
    let (count, sum) = pairs.fold((0, 0.0), |(count, sum), (a, b)| (count + 1, sum + f64::from(of(a, b))));
    (count > 0).then(|| sum / f64::from(count))
}

/// As many numbers as there are of that kind; what a file lacks is nought.
fn fixed<const N: usize>(numbers: &[f32]) -> [f32; N] {
    std::array::from_fn(|n| numbers.get(n).copied().unwrap_or_default())
}

/// Share of neighbours, across and down, that have the same colour.
fn even(picture: &RgbImage) -> f64 {
    let (width, height) = picture.dimensions();
    let same = |x: u32, y: u32, dx: u32, dy: u32| {
        let (a, b) = (picture.get_pixel(x, y), picture.get_pixel(x + dx, y + dy));
        a.0.iter().zip(b.0).all(|(a, b)| a.abs_diff(b) <= EVEN)
    };
    let all = (0..height.saturating_sub(1)).flat_map(|y| (0..width.saturating_sub(1)).map(move |x| (x, y)));
    let (count, found) = all.fold((0_u64, 0_u64), |(count, found), (x, y)| {
        (count + 2, found + u64::from(same(x, y, 1, 0)) + u64::from(same(x, y, 0, 1)))
    });
    found as f64 / count.max(1) as f64
}
