//! `animate`: the picture moved by the motion, frame by frame, and coded as video.

use crate::filming::Scene;
use crate::step::{Inputs, Report, Run, StepError, StepOutput, in_range};
use spinbot::{Fault, steps::Animate};

/// Frames that are drawn together.
const BATCH: usize = 16;

impl Run for Animate {
    fn check(&self) -> Result<(), Fault> {
        in_range("quantizer", self.quantizer, 10, 40)
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        Scene::read(inputs)?.film(self.quantizer, BATCH, &|_| Ok(Vec::new()), report)
    }
}
