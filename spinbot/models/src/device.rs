//! Which device computes: the name people type, and the opened device behind it.

use crate::error::{ModelError, Result};
use candle_core::{DType, Tensor};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A device as people name it with `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The fastest one that is compiled in and present: CUDA, then Metal, then the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA card by its number, from 0.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

impl DeviceChoice {
    /// The class of the device it would open, told without opening one: [`Device::class`].
    pub fn class(self) -> &'static str {
        let card = || cfg!(feature = "cuda") && Path::new("/dev/nvidiactl").exists();
        match self {
            DeviceChoice::Cpu => "cpu",
            DeviceChoice::Cuda(_) => "cuda",
            DeviceChoice::Metal => "metal",
            DeviceChoice::Auto if card() => "cuda",
            DeviceChoice::Auto if cfg!(feature = "metal") => "metal",
            DeviceChoice::Auto => "cpu",
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = ModelError;

    fn from_str(given: &str) -> Result<Self> {
        let unknown = || ModelError::DeviceName { given: given.to_owned() };
        match given.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(DeviceChoice::Auto),
            "cpu" => Ok(DeviceChoice::Cpu),
            "cuda" => Ok(DeviceChoice::Cuda(0)),
            "metal" => Ok(DeviceChoice::Metal),
            other => match other.strip_prefix("cuda:") {
                // usize's parser takes a leading `+`, which is no card number.
                Some(number) if number.bytes().all(|b| b.is_ascii_digit()) => {
                    number.parse().map(DeviceChoice::Cuda).map_err(|_| unknown())
                }
                _ => Err(unknown()),
            },
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Cpu => f.write_str("cpu"),
            DeviceChoice::Cuda(number) => write!(f, "cuda:{number}"),
            DeviceChoice::Metal => f.write_str("metal"),
        }
    }
}

/// An opened device that networks are loaded onto. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Device(pub(crate) candle_core::Device);

impl Device {
    /// The CPU, which is always there.
    pub fn cpu() -> Device {
        Device(candle_core::Device::Cpu)
    }

    /// Opens the device of that name.
    ///
    /// # Errors
    /// [`ModelError::Device`] when the device is not compiled in or not present; `auto` never fails.
    pub fn open(choice: DeviceChoice) -> Result<Device> {
        match choice {
            DeviceChoice::Auto => [DeviceChoice::Cuda(0), DeviceChoice::Metal]
                .into_iter()
                .find_map(|choice| Device::open(choice).ok())
                .map_or_else(|| Ok(Device::cpu()), Ok),
            DeviceChoice::Cpu => Ok(Device::cpu()),
            DeviceChoice::Cuda(number) => {
                compiled_in(choice, cfg!(feature = "cuda"), "cuda")?;
                candle_core::Device::new_cuda(number).map(Device).map_err(|e| not_usable(choice, &e))
            }
            DeviceChoice::Metal => {
                compiled_in(choice, cfg!(feature = "metal"), "metal")?;
                candle_core::Device::new_metal(0).map(Device).map_err(|e| not_usable(choice, &e))
            }
        }
    }

    /// Whether it is the CPU.
    pub fn is_cpu(&self) -> bool {
        self.0.is_cpu()
    }

    /// Whether it computes in bf16: NVIDIA's do from Ampere on.
    pub fn has_bf16(&self) -> bool {
        let probe = || {
            let x = Tensor::ones((2, 2), DType::BF16, &self.0)?;
            (x.matmul(&x)? + 1.0)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()
        };
        self.is_cpu() || probe().is_ok_and(|sum| sum == 12.0)
    }

    /// Which one it is, among all that are there.
    pub fn place(&self) -> String {
        format!("{:?}", self.0.location())
    }

    /// `cpu`, `cuda` or `metal`: what a content key holds where results differ between kinds of device.
    pub fn class(&self) -> &'static str {
        match self.0 {
            candle_core::Device::Cpu => "cpu",
            candle_core::Device::Cuda(_) => "cuda",
            candle_core::Device::Metal(_) => "metal",
        }
    }
}

fn compiled_in(choice: DeviceChoice, is: bool, feature: &str) -> Result<()> {
    if is {
        return Ok(());
    }
    Err(ModelError::Device {
        device: choice.to_string(),
        reason: format!("this spinbot was built without {feature} support"),
        advice: format!("use `--device cpu`, or build spinbot with `--features {feature}`"),
    })
}

fn not_usable(choice: DeviceChoice, error: &candle_core::Error) -> ModelError {
    ModelError::Device {
        device: choice.to_string(),
        reason: error.to_string().lines().next().unwrap_or("the driver refused it").to_owned(),
        advice: "use `--device cpu`, or check the driver and the card's number".into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn device_names_parse_and_nonsense_is_told_what_was_expected() {
        for (typed, choice, shown) in [
            ("auto", DeviceChoice::Auto, "auto"),
            (" CPU ", DeviceChoice::Cpu, "cpu"),
            ("cuda", DeviceChoice::Cuda(0), "cuda:0"),
            ("cuda:3", DeviceChoice::Cuda(3), "cuda:3"),
            ("metal", DeviceChoice::Metal, "metal"),
        ] {
            let parsed: DeviceChoice = typed.parse().unwrap();
            assert_eq!((parsed, parsed.to_string().as_str()), (choice, shown));
            if let Ok(device) = Device::open(choice) {
                assert_eq!(choice.class(), device.class(), "{typed}");
            }
        }
        for typed in
            ["", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda:1.5", "cuda:99999999999999999999", "cpu:0"]
        {
            let error = typed.parse::<DeviceChoice>().unwrap_err();
            assert!(error.to_string().contains("expected auto, cpu"), "{typed}: {error}");
        }
    }

    #[test]
    fn auto_always_opens_and_a_device_left_out_of_the_build_says_so() {
        assert!(["cpu", "cuda", "metal"].contains(&Device::open(DeviceChoice::Auto).unwrap().class()));
        assert_eq!(Device::open(DeviceChoice::Cpu).unwrap().class(), "cpu");
        for (choice, present) in
            [(DeviceChoice::Cuda(7), cfg!(feature = "cuda")), (DeviceChoice::Metal, cfg!(feature = "metal"))]
        {
            if !present {
                let error = Device::open(choice).unwrap_err();
                assert!(error.to_string().contains("built without"), "{error}");
                assert!(error.help().unwrap().contains("--device cpu"));
            }
        }
    }
}
