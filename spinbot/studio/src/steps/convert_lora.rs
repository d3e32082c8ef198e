//! `convert_lora`: a LoRA under other names, by the layers of the model it was made for.

use crate::loaded;
use crate::step::{Inputs, Report, Run, StepError, StepOutput, input, model_fault};
use spinbot::loras::LoraFormat;
use spinbot::{Fault, steps::ConvertLora};
use spinbot_models::Device;
use spinbot_models::diffusion::lora_file;
use spinbot_models::diffusion::pipeline::Precision;

impl Run for ConvertLora {
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let (lora, model) = (input(inputs, "lora")?, input(inputs, "model")?);
        let painter = loaded::painter(model, &[(lora, 1.0)], &(Device::cpu(), Precision::F32))?;
        if let [first, ..] = painter.loras.unmatched.as_slice() {
            let count = painter.loras.unmatched.len();
            return Err(Fault::new(format!("{count} of its layers are not in the model, as {first}"))
                .help("name the model it was made for with --base: nothing of it shall be lost")
                .about("base")
                .into());
        }
        let file = lora_file::LoraFile::open_stored(&lora.path, &lora.label).map_err(model_fault)?;
        let trigger = file.trigger().map_err(model_fault)?;
        let format = match self.format {
            LoraFormat::Diffusers => lora_file::LoraFormat::Diffusers,
            LoraFormat::Kohya => lora_file::LoraFormat::Kohya,
        };
        let bytes = painter
            .pipeline
            .lora_bytes(format, &painter.loras.adapters, trigger.as_ref(), file.metadata())
            .map_err(model_fault)?;
        report.progress(1.0, 1.0, "LoRA");
        Ok(vec![StepOutput { name: "lora", media_type: "application/octet-stream", bytes }])
    }
}
