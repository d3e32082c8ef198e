//! Teaches a model what some pictures show, without engine or notebook, and leaves what the steps leave: to look at, and
//! to choose defaults by.
//!
//! cargo run --release -p spinbot-studio --example train_lora -- MODEL OUT TRIGGER '{"steps": 250}' PICTURE...

#![allow(clippy::print_stdout, reason = "it is a program")]

use serde_json::Value;
use sha2::{Digest, Sha256};
use spinbot::pictures::{Captions, Crop};
use spinbot::steps::{ReadPictures, TrainLora};
use spinbot_studio::{Report, StepInput, StepOutput};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

/// Prints what is told and leaves previews and what is kept in a folder.
struct Terminal<'a>(&'a Path);

impl Report for Terminal<'_> {
    fn progress(&mut self, _: f64, _: f64, _: &str) {}
    fn metric(&mut self, name: &str, at: f64, value: f64) {
        if name != "loss" || at % 25.0 == 0.0 {
            println!("{at}: {name} {value:.4}");
        }
    }
    fn preview(&mut self, name: &str, _: &str, bytes: &[u8]) {
        if let Err(error) = std::fs::write(self.0.join(format!("{name}-preview.png")), bytes) {
            println!("{name}: {error}");
        }
    }
    fn log(&mut self, line: &str) {
        println!("{line}");
    }
    fn kept(&mut self) -> Option<PathBuf> {
        let folder = self.0.join("kept");
        std::fs::create_dir_all(&folder).ok().map(|()| folder)
    }
    fn cancelled(&self) -> bool {
        false
    }
}

/// Which picture is kept back depends on the hashes, so they are those that the engine takes too.
fn input(path: &Path) -> StepInput {
    let label = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = std::fs::read(path).unwrap_or_default();
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    StepInput { path: path.to_owned(), sha256, label }
}

fn write(folder: &Path, outputs: &[StepOutput]) -> std::io::Result<()> {
    outputs.iter().try_for_each(|output| std::fs::write(folder.join(output.name), &output.bytes))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, out, trigger, params, pictures @ ..] = arguments.as_slice() else {
        return Err("name MODEL OUT TRIGGER PARAMS PICTURE...".into());
    };
    let (model, out) = (input(Path::new(model)), PathBuf::from(out));
    std::fs::create_dir_all(&out)?;
    let read = ReadPictures {
        resolution: None,
        crop: Crop::Face,
        captions: Captions::Files,
        trigger: trigger.clone(),
        flip: false,
        hold_out: true,
        empty: Vec::new(),
    };
    let mut inputs = BTreeMap::from([("model".to_owned(), model.clone())]);
    for (n, path) in pictures.iter().enumerate() {
        inputs.insert(format!("picture{}", n + 1), input(Path::new(path)));
        let caption = Path::new(path).with_extension("txt");
        if caption.is_file() {
            inputs.insert(format!("caption{}", n + 1), input(&caption));
        }
    }
    let mut report = Terminal(&out);
    let read = serde_json::to_value(&read)?;
    write(&out, &spinbot_studio::run("read_pictures", &read, &inputs, 0, &mut report)?)?;

    let mut step = serde_json::to_value(TrainLora::default())?;
    let given: Value = serde_json::from_str(params)?;
    for (name, value) in given.as_object().into_iter().flatten() {
        step[name] = value.clone();
    }
    let inputs =
        BTreeMap::from([("model".to_owned(), model), ("pictures".to_owned(), input(&out.join("pictures")))]);
    let start = std::time::Instant::now();
    write(&out, &spinbot_studio::run("train_lora", &step, &inputs, 0, &mut report)?)?;
    std::fs::remove_dir_all(out.join("kept"))?;
    println!("{:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
