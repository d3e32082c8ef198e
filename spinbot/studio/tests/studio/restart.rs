//! Long steps that are stopped and run again: they go on from what they kept, and leave what one run leaves.

use crate::chain::{Chain, Told, fixture};
use spinbot::steps::{Animate, BlendPart, ReadPortrait, ReadVoice, Speak};
use spinbot_studio::{Motion, MotionFrame, StepError};

/// What was kept, a file.
fn kept(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

#[test]
fn a_long_clip_goes_on_from_its_last_whole_chunk_bit_for_bit() {
    let chain = Chain::new("restart");
    let portrait = ReadPortrait { size: 128, keep_aspect: false, face: None, bot: None };
    let read = [("portrait", fixture("portraits/astronaut.png"))];
    for output in chain.attempt(&portrait, &read, &mut Told::default()).unwrap() {
        std::fs::write(chain.path(output.name), output.bytes).unwrap();
    }
    let frame = |n: u16| MotionFrame { jaw: f32::from(n * 7 % 10) / 10.0, ..MotionFrame::default() };
    let motion = Motion { fps: 25, frames: (0..400).map(frame).collect() };
    std::fs::write(chain.path("motion"), serde_json::to_vec(&motion).unwrap()).unwrap();
    let inputs = ["picture", "landmarks", "matte", "motion"].map(|name| (name, chain.path(name)));
    let animate = Animate { quantizer: 30 };
    let whole = chain.attempt(&animate, &inputs, &mut Told::default()).unwrap();
    let same = |told: &mut Told| {
        let again = chain.attempt(&animate, &inputs, told).unwrap();
        again.iter().zip(&whole).all(|(again, whole)| again.bytes == whole.bytes)
    };

    let folder = chain.path("kept");
    let mut stopped = Told { kept: Some(folder.clone()), cancel_after: Some(19), ..Told::default() };
    assert!(matches!(chain.attempt(&animate, &inputs, &mut stopped), Err(StepError::Cancelled)));
    let files = kept(&folder);
    assert_eq!(files.len(), 1, "{files:?}");
    let mut told = Told { kept: Some(folder.clone()), ..Told::default() };
    assert!(same(&mut told), "what was kept gives another video");
    assert!(told.log.iter().any(|line| line.starts_with("250 of 400 frames")), "{:?}", told.log);
    // One that was changed is drawn again.
    let mut bytes = std::fs::read(&files[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&files[0], &bytes).unwrap();
    let mut told = Told { kept: Some(folder), ..Told::default() };
    assert!(same(&mut told));
    assert!(told.log.iter().any(|line| line.starts_with("150 of 400 frames")), "{:?}", told.log);
}

#[test]
fn a_long_text_goes_on_after_what_was_said_bit_for_bit() {
    let chain = Chain::new("said");
    let blend = vec![BlendPart { voice: "af_heart".into(), weight: 1.0 }];
    let voice = chain.attempt(&ReadVoice { blend }, &[], &mut Told::default()).unwrap();
    std::fs::write(chain.path("voice"), &voice[0].bytes).unwrap();
    let sentence =
        "The old lighthouse stood at the end of the pier, and every evening its keeper climbed the stairs.";
    let speak =
        Speak { text: [sentence; 7].join(" "), speed: 1.0, accent: None, lexicon: Default::default() };
    let inputs = [("voice", chain.path("voice"))];
    let whole = chain.attempt(&speak, &inputs, &mut Told::default()).unwrap();
    let folder = chain.path("kept");
    let mut stopped = Told { kept: Some(folder.clone()), cancel_after: Some(6), ..Told::default() };
    assert!(matches!(chain.attempt(&speak, &inputs, &mut stopped), Err(StepError::Cancelled)));
    assert_eq!(kept(&folder).len(), 1);
    let mut told = Told { kept: Some(folder), ..Told::default() };
    let again = chain.attempt(&speak, &inputs, &mut told).unwrap();
    assert!(again.iter().zip(&whole).all(|(again, whole)| again.bytes == whole.bytes));
    assert!(told.log.iter().any(|line| line.contains("already said")), "{:?}", told.log);
    assert!(told.progress.len() < 4, "{:?}", told.progress);
}
