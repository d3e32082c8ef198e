use crate::step::{Inputs, Report, Run, StepError, StepOutput};
use spinbot::{Fault, steps::Animate};

impl Run for Animate {
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }
    fn run(&self, _inputs: &Inputs, _seed: u64, _report: &mut dyn Report) -> Result<Vec<StepOutput>, StepError> {
        Err(Fault::new("animate is being written").into())
    }
}
