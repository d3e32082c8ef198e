use crate::step::{Inputs, Report, Run, StepError, StepOutput};
use spinbot::{Fault, steps::ReadSpeech};

impl Run for ReadSpeech {
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }
    fn run(&self, _inputs: &Inputs, _seed: u64, _report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        Err(Fault::new("read_speech is being written").into())
    }
}
