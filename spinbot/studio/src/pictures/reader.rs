//! One picture to learn from: read, its face found, its part cut out, its caption made.

use super::bucket::Buckets;
use super::caption;
use super::window::{Window, main_face};
use crate::step::{StepInput, media_fault, model_fault};
use spinbot::pictures::{Captions, Crop};
use spinbot::{Fault, steps::ReadPictures};
use spinbot_media::picture::{self, Caps};
use spinbot_media::{MediaError, RgbImage};
use spinbot_models::Device;
use spinbot_models::faces::{FaceBox, FaceDetector, Landmarker};
use std::io::Read;

/// Score from which a box counts as a face.
const NEED: f32 = 0.5;

/// One picture, as it is learned from, and what is known of it.
pub(crate) struct Taken {
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) picture: RgbImage,
    pub(crate) caption: String,
    pub(crate) face: Option<[f32; 4]>,
    /// How many faces were found.
    pub(crate) faces: usize,
    pub(crate) enlarged: f32,
    /// Its caption is of a file.
    pub(crate) written: bool,
    /// The trigger word was put before it.
    pub(crate) prefixed: bool,
    /// Kept back to measure on.
    pub(crate) held_out: bool,
    /// Why its caption file could not be used.
    pub(crate) caption_unread: Option<String>,
}

/// What reads pictures for one step.
pub(crate) struct Reader<'a> {
    step: &'a ReadPictures,
    buckets: Buckets,
    detector: FaceDetector,
    landmarker: Landmarker,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(step: &'a ReadPictures, buckets: Buckets) -> Result<Self, Fault> {
        let detector = FaceDetector::load(&Device::cpu()).map_err(model_fault)?.with_threshold(NEED);
        let landmarker = Landmarker::load(&Device::cpu()).map_err(model_fault)?;
        Ok(Reader { step, buckets, detector, landmarker })
    }

    /// Reads a picture and, where it is to be used, its caption file.
    pub(crate) fn read(&self, input: &StepInput, words: Option<&StepInput>) -> Result<Taken, Fault> {
        let fault = |error: MediaError| media_fault(error, "picture");
        let photo = picture::read(&input.path, &input.label, &Caps::default()).map_err(fault)?;
        let faces =
            self.detector.detect(photo.as_raw(), photo.width(), photo.height()).map_err(model_fault)?;
        let face = main_face(&faces, photo.dimensions());
        let window = match (self.step.crop, face) {
            (Crop::Face, Some(face)) => Window::around(face, photo.dimensions(), &self.buckets),
            _ => Window::whole(photo.dimensions(), &self.buckets),
        };
        let cut = window.cut(&photo);
        let moved = face.map(|face| window.moved(face));
        // A face that the crop took off is none.
        let moved = moved.filter(|[_, _, w, h]| *w >= 8.0 && *h >= 8.0);
        let (written, caption_unread) = match (&self.step.captions, words.map(caption_of)) {
            (Captions::Words(words), _) => (Some(words.clone()), None),
            (Captions::Files, Some(Ok(text))) => (Some(text), None),
            (Captions::Files, Some(Err(why))) => (None, Some(why)),
            (Captions::Files, None) | (Captions::Auto, _) => (None, None),
        };
        let (caption, prefixed) = match &written {
            Some(text) => caption::with_trigger(text, &self.step.trigger),
            None => (self.seen(&cut, moved, face)?, false),
        };
        Ok(Taken {
            name: input.label.clone(),
            sha256: input.sha256.clone(),
            picture: cut,
            caption,
            face: moved,
            faces: faces.len(),
            enlarged: window.enlarged(),
            written: written.is_some(),
            prefixed: prefixed && self.step.captions == Captions::Files,
            held_out: false,
            caption_unread,
        })
    }

    fn seen(&self, cut: &RgbImage, moved: Option<[f32; 4]>, face: Option<&FaceBox>) -> Result<String, Fault> {
        let landmarks = match (moved, face) {
            (Some([x, y, w, h]), Some(face)) => {
                let face = FaceBox { score: face.score, x, y, w, h };
                let found = self.landmarker.landmarks_refined(cut.as_raw(), cut.width(), cut.height(), &face);
                Some(found.map_err(model_fault)?)
            }
            _ => None,
        };
        Ok(caption::seen(cut, landmarks.as_ref(), &self.step.trigger))
    }
}

/// What a caption file says, or a sentence that tells why it is of no use.
fn caption_of(file: &StepInput) -> Result<String, String> {
    let wrong = |what: String| format!("{}: {what}; told by what is seen", file.label);
    let mut bytes = Vec::new();
    std::fs::File::open(&file.path)
        .and_then(|opened| opened.take(caption::LONGEST as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if bytes.len() > caption::LONGEST {
        return Err(wrong(format!("is longer than a caption, which has {} bytes at most", caption::LONGEST)));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("is no UTF-8 text".into()))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}
