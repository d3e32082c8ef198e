//! `animate_wav2lip`: the picture moved by the motion, its lower face drawn by Wav2Lip from the sound, and coded as video.
//!
//! The network sees the photo's own face, once; what it draws of it is put onto the photo, which then is moved as ever: so
//! the lower face goes with the head.

use crate::filming::Scene;
use crate::loaded;
use crate::portrait::{FaceBox, LowerFace};
use crate::step::{
    Inputs, MAX_SPEECH_SECONDS, Report, Run, StepError, StepOutput, in_range, input, media_fault, model_fault,
};
use spinbot::{Fault, steps::AnimateWav2lip};
use spinbot_media::audio::{self, AudioCaps};
use spinbot_models::wav2lip::{SAMPLE_RATE, SIDE};

/// Frames that are drawn together: of more the network draws hardly more a second, and it is asked to stop less often.
const BATCH: usize = 8;

impl Run for AnimateWav2lip {
    fn check(&self) -> Result<(), Fault> {
        in_range("quantizer", self.quantizer, 10, 40)
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let scene = Scene::read(inputs)?;
        let speech = input(inputs, "speech")?;
        let caps = AudioCaps { max_seconds: MAX_SPEECH_SECONDS, ..AudioCaps::default() };
        let speech = audio::read(&speech.path, &speech.label, &caps)
            .and_then(|clip| clip.resampled(SAMPLE_RATE))
            .map_err(|error| media_fault(error, "speech"))?;
        let (width, height) = (scene.landmarks.width, scene.landmarks.height);
        let place = FaceBox::around(&scene.landmarks.points, width, height).ok_or_else(|| {
            Fault::new("the face is too small or too far outside the picture to draw lips into it")
                .help("use a picture with the whole face in it")
                .about("portrait")
        })?;
        if report.cancelled() {
            return Err(StepError::Cancelled);
        }
        let network = loaded::wav2lip(input(inputs, "weights")?)?;
        let heard = network.hear(&speech.samples).map_err(|error| model_fault(error).about("speech"))?;
        let seen = place.cut(scene.portrait.photo(), width, SIDE as u32);
        let face = network.see(seen.as_raw()).map_err(model_fault)?;
        let lower_faces = |frames: std::ops::Range<usize>| {
            let drawn = network.speak(&face, &heard, frames, scene.motion.fps).map_err(model_fault)?;
            Ok(drawn.into_iter().map(|drawn| LowerFace::new(place, &seen, drawn)).collect())
        };
        scene.film(self.quantizer, BATCH, &lower_faces, report)
    }
}
