//! `check_cloner`: whether a model of the user's own can clone a voice at all.

use crate::loaded;
use crate::step::{Inputs, Report, Run, StepError, StepOutput, input, model_fault};
use spinbot::steps::CheckCloner;

impl Run for CheckCloner {
    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let pocket = loaded::pocket(input(inputs, "weights")?)?;
        pocket.can_clone().map_err(|error| model_fault(error).about("weights"))?;
        report.progress(1.0, 1.0, "model");
        let bytes = br#"{"synthesiser":"pocket-tts"}"#.to_vec();
        Ok(vec![StepOutput { name: "report", media_type: "application/json", bytes }])
    }
}
