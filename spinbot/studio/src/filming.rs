//! From a picture, its landmarks and a motion to a silent clip: what every variant of animating shares. What talks in the
//! frames comes with the variant.
//!
//! A long clip is drawn in chunks, each coded by itself and kept when it is done: a worker that dies loses no more than one.
//! Frames are drawn on all cores, a batch at a time, while the batch before is coded in order: memory stays at
//! two batches however long the clip is.

use crate::committed::Committed;
use crate::landmarks::Landmarks;
use crate::motion::Motion;
use crate::portrait::{LowerFace, Portrait, Scratch};
use crate::step::{Inputs, Report, StepError, StepInput, StepOutput, input, json_input, media_fault};
use crate::subtitles::Subtitles;
use rayon::prelude::*;
use spinbot::Fault;
use spinbot::timing::SpeechTiming;
use spinbot_media::picture::{self, Caps};
use spinbot_media::video::{self, Encoder, VideoSettings, VideoTrack};
use spinbot_media::{MediaError, RgbImage, mp4};
use spinbot_models::faces::{MESH_POINTS, Mesh};
use std::ops::Range;

/// How long a chunk is, in seconds: it begins with a whole picture, which costs a few thousand bytes.
const CHUNK_SECONDS: usize = 10;
/// An hour at 60 frames a second.
const MAX_FRAMES: usize = 216_000;
/// Longest side of the picture: what `read_portrait` leaves.
const MAX_SIDE: u32 = 1024;
const SHEET_FRAMES: usize = 24;
const SHEET_COLUMNS: u32 = 6;
const SHEET_FRAME_WIDTH: u32 = 212;

/// Lower faces of some frames, or none where the photo's own lips talk.
pub(crate) type LowerFaces<'a> = dyn Fn(Range<usize>) -> Result<Vec<LowerFace>, Fault> + Sync + 'a;

/// What is filmed.
pub(crate) struct Scene {
    pub(crate) portrait: Portrait,
    pub(crate) landmarks: Landmarks,
    pub(crate) motion: Motion,
    subtitles: Option<Subtitles>,
}

impl Scene {
    /// Reads the inputs `picture`, `landmarks`, `matte`, `motion` and, where there is one, `timing`.
    ///
    /// # Errors
    /// One of them is missing, or is not what it should be.
    pub(crate) fn read(inputs: &Inputs) -> Result<Self, Fault> {
        let source = input(inputs, "picture")?;
        let caps = Caps { min_side: 16, max_side: MAX_SIDE, ..Caps::default() };
        let picture = picture::read(&source.path, &source.label, &caps)
            .map_err(|error| media_fault(error, "portrait"))?;
        let landmarks: Landmarks = json_input(inputs, "landmarks")?;
        let matte = matte(input(inputs, "matte")?, &landmarks)?;
        let motion: Motion = json_input(inputs, "motion")?;
        let timing: Option<SpeechTiming> =
            inputs.contains_key("timing").then(|| json_input(inputs, "timing")).transpose()?;
        let subtitles = timing.map(|timing| Subtitles::new(&timing, &landmarks)).transpose()?;
        let portrait = portrait_of(picture, &matte, &landmarks)?;
        let (total, fps) = (motion.frames.len(), motion.fps);
        if total == 0 || total > MAX_FRAMES || !(1..=60).contains(&fps) {
            return Err(Fault::new(format!("the motion has {total} frames at {fps} a second")));
        }
        Ok(Scene { portrait, landmarks, motion, subtitles })
    }

    fn draw(
        &self,
        number: usize,
        lower_face: Option<&LowerFace>,
        scratch: &mut Scratch,
        frame: &mut RgbImage,
    ) {
        self.portrait.draw(&self.motion.frames[number], lower_face, scratch, frame);
        if let Some(subtitles) = &self.subtitles {
            subtitles.draw((number as f64 + 0.5) / f64::from(self.motion.fps), frame);
        }
    }

    /// Draws and codes every frame: the outputs `video`, `first_frame` and `sheet` of [`spinbot::steps::Animate`], and the
    /// preview `first_frame`. `batch` frames are drawn between two looks at [`Report::cancelled`].
    ///
    /// # Errors
    /// [`StepError::Cancelled`] between two batches; what `lower_faces` cannot draw; what cannot be coded.
    pub(crate) fn film(
        &self,
        quantizer: u8,
        batch: usize,
        lower_faces: &LowerFaces,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let fault = |error: MediaError| media_fault(error, "portrait");
        let (width, height, fps) = (self.landmarks.width, self.landmarks.height, self.motion.fps);
        let settings = VideoSettings { width, height, fps, quantizer };
        let total = self.motion.frames.len();
        let first_frame = {
            let mut frame = RgbImage::new(width, height);
            self.draw(0, lower_faces(0..1)?.first(), &mut Scratch::default(), &mut frame);
            picture::jpeg_bytes(&frame, 88).map_err(fault)?
        };
        report.preview("first_frame", "image/jpeg", &first_frame);

        let chunks = chunks(total, fps as usize * CHUNK_SECONDS);
        // A clip of one chunk is as soon drawn as read again.
        let committed = Committed::new(if chunks.len() > 1 { report.kept() } else { None });
        let mut found = 0;
        let mut tracks = Vec::new();
        let mut sheet = Sheet::new(total);
        for frames in chunks {
            let (name, reached) = (format!("frames-{}", frames.start), frames.end);
            let kept = committed.read(&name).and_then(|file| mp4::read_video(&file).ok());
            let kept = kept.filter(|track| track.frames.len() == frames.len());
            // One that another encoder coded could not be joined.
            let fits = kept.map(|track| Ok::<_, Fault>(self.like_now(&track, settings)?.then_some(track)));
            let track = match fits.transpose()?.flatten() {
                Some(track) => {
                    found += frames.len();
                    for number in sheet.wanted_in(&frames) {
                        let mut frame = RgbImage::new(width, height);
                        let face = lower_faces(number..number + 1)?;
                        self.draw(number, face.first(), &mut Scratch::default(), &mut frame);
                        sheet.take(number, &frame);
                    }
                    track
                }
                None => {
                    let track = self.shoot((frames, batch), settings, lower_faces, &mut sheet, report)?;
                    if committed.keeps() {
                        let file = mp4::write(&track, None, &mp4::Tags::default()).map_err(fault)?;
                        if let Err(error) = committed.keep(&name, &file) {
                            report.log(&format!("what is drawn could not be kept for a restart: {error}"));
                        }
                    }
                    track
                }
            };
            tracks.push(track);
            report.progress(reached as f64, total as f64, "frames");
        }
        if found > 0 {
            report.log(&format!("{found} of {total} frames were already drawn before it was stopped"));
        }
        let track = VideoTrack::joined(&tracks).map_err(fault)?;
        let video = mp4::write(&track, None, &mp4::Tags::default()).map_err(fault)?;
        let columns = SHEET_COLUMNS.min(total as u32);
        let sheet = video::contact_sheet(&sheet.frames, columns).map_err(fault)?;
        let sheet = picture::jpeg_bytes(&sheet, 85).map_err(fault)?;
        Ok(vec![
            StepOutput { name: "video", media_type: "video/mp4", bytes: video },
            StepOutput { name: "first_frame", media_type: "image/jpeg", bytes: first_frame },
            StepOutput { name: "sheet", media_type: "image/jpeg", bytes: sheet },
        ])
    }

    /// Whether a track is coded as one would be now.
    fn like_now(&self, track: &VideoTrack, settings: VideoSettings) -> Result<bool, Fault> {
        let fault = |error: MediaError| media_fault(error, "portrait");
        let mut encoder = Encoder::new(settings).map_err(fault)?;
        encoder.push(&RgbImage::new(settings.width, settings.height)).map_err(fault)?;
        let now = encoder.finish().map_err(fault)?;
        let shape = |track: &VideoTrack| (track.width, track.height, track.fps);
        let seekable = track.frames.first().is_some_and(|(_, seekable)| *seekable);
        Ok(seekable && shape(track) == shape(&now) && (&track.sps, &track.pps) == (&now.sps, &now.pps))
    }

    /// Draws and codes some frames, a batch at a time.
    fn shoot(
        &self,
        (frames, batch): (Range<usize>, usize),
        settings: VideoSettings,
        lower_faces: &LowerFaces,
        sheet: &mut Sheet,
        report: &mut dyn Report,
    ) -> Result<VideoTrack, StepError> {
        let fault = |error: MediaError| media_fault(error, "portrait");
        let mut encoder = Encoder::new(settings).map_err(fault)?;
        let blank = || vec![RgbImage::new(settings.width, settings.height); batch.min(frames.len())];
        let (mut drawing, mut drawn) = (blank(), blank());
        let mut waiting = 0;
        let mut done = frames.start;
        loop {
            if report.cancelled() {
                return Err(StepError::Cancelled);
            }
            let from = done + waiting;
            let numbers = from..(from + batch).min(frames.end);
            let (coded, talked) = rayon::join(
                || {
                    drawn[..waiting].iter().enumerate().try_for_each(|(i, frame)| {
                        sheet.take(done + i, frame);
                        encoder.push(frame)
                    })
                },
                || {
                    let faces = match numbers.is_empty() {
                        true => Vec::new(),
                        false => lower_faces(numbers.clone())?,
                    };
                    let frames = numbers.clone().into_par_iter().zip(&mut drawing).enumerate();
                    frames.for_each_init(Scratch::default, |scratch, (n, (number, frame))| {
                        self.draw(number, faces.get(n), scratch, frame);
                    });
                    Ok::<(), Fault>(())
                },
            );
            coded.map_err(fault)?;
            talked?;
            done = from;
            waiting = numbers.len();
            std::mem::swap(&mut drawing, &mut drawn);
            report.progress(done as f64, self.motion.frames.len() as f64, "frames");
            if done == frames.end {
                return Ok(encoder.finish().map_err(fault)?);
            }
        }
    }
}

/// Frames in chunks of that many, the last half as long to one and a half times.
fn chunks(total: usize, length: usize) -> Vec<Range<usize>> {
    let count = ((total + length / 2) / length).max(1);
    (0..count).map(|n| n * length..if n + 1 == count { total } else { (n + 1) * length }).collect()
}

/// Frames kept for the contact sheet, spread over the whole clip, already small.
struct Sheet {
    wanted: Vec<usize>,
    frames: Vec<RgbImage>,
}

impl Sheet {
    fn new(total: usize) -> Self {
        let count = SHEET_FRAMES.min(total);
        Sheet { wanted: (0..count).map(|k| (2 * k + 1) * total / (2 * count)).collect(), frames: Vec::new() }
    }

    /// Which of these frames are wanted.
    fn wanted_in(&self, frames: &Range<usize>) -> Vec<usize> {
        self.wanted.iter().copied().filter(|at| frames.contains(at)).collect()
    }

    /// Keeps frame `at` if it is wanted; frames come in order.
    fn take(&mut self, at: usize, frame: &RgbImage) {
        if self.wanted.get(self.frames.len()) == Some(&at) {
            let height = (frame.height() * SHEET_FRAME_WIDTH).div_ceil(frame.width());
            self.frames.push(picture::resize(frame, SHEET_FRAME_WIDTH, height));
        }
    }
}

/// The figure's share of each pixel.
fn matte(source: &StepInput, landmarks: &Landmarks) -> Result<Vec<u8>, Fault> {
    let caps = Caps { min_side: 16, max_side: MAX_SIDE, ..Caps::default() };
    let matte = picture::read(&source.path, &source.label, &caps).map_err(|e| media_fault(e, "portrait"))?;
    match matte.dimensions() == (landmarks.width, landmarks.height) {
        true => Ok(matte.pixels().map(|pixel| pixel.0[0]).collect()),
        false => {
            let (width, height) = matte.dimensions();
            Err(Fault::new(format!(
                "a matte of {width}x{height} does not fit a picture of {}x{}",
                landmarks.width, landmarks.height
            )))
        }
    }
}

fn portrait_of(picture: RgbImage, matte: &[u8], landmarks: &Landmarks) -> Result<Portrait, Fault> {
    let (width, height) = picture.dimensions();
    let count = landmarks.points.len();
    let points: Option<[[f32; 2]; 68]> = landmarks.points.clone().try_into().ok();
    // A face may be cut off by the picture's edge, but most of it lies inside.
    let reach = width.max(height) as f32;
    let near = |p: &[[f32; 2]; 68]| p.iter().flatten().all(|c| (-0.5 * reach..1.5 * reach).contains(c));
    match points.filter(near) {
        Some(points) if (width, height) == (landmarks.width, landmarks.height) => {
            let mesh = (landmarks.mesh.len() == MESH_POINTS)
                .then(|| Mesh { points: landmarks.mesh.clone(), presence: 1.0 });
            let size = (width as usize, height as usize);
            Ok(Portrait::new(picture.into_raw(), matte, size, &points, mesh, landmarks.drawn))
        }
        _ => Err(Fault::new(format!(
            "{count} landmarks of a {}x{} picture do not fit one of {width}x{height}",
            landmarks.width, landmarks.height
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::chunks;

    #[test]
    fn chunks_hold_every_frame_once_and_none_is_short() {
        assert_eq!(chunks(1, 250), [0..1]);
        assert_eq!(chunks(374, 250), [0..374]);
        assert_eq!(chunks(375, 250), [0..250, 250..375]);
        assert_eq!(chunks(751, 250), [0..250, 250..500, 500..751]);
    }
}
