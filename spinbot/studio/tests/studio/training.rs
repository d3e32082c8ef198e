//! A LoRA trained through its step, stopped, gone on with, and kept from going wrong.

use crate::chain::{Chain, Told};
use crate::tiny_model;
use safetensors::tensor::{Dtype, TensorView};
use spinbot::pictures::{PictureItem, PicturesRead};
use spinbot::scores::{Identity, IdentityBy};
use spinbot::steps::{StepParams, TrainLora};
use spinbot::training::TrainReport;
use spinbot_studio::{StepError, StepOutput};
use std::collections::HashMap;
use std::path::PathBuf;

/// What `read_pictures` would leave of a few coloured pictures of two sizes.
fn pictures() -> Vec<u8> {
    let sizes = [(32, 32), (32, 32), (32, 48), (32, 32)];
    let pixels = |n: usize, (width, height): (usize, usize)| -> Vec<u8> {
        (0..width * height * 3).map(|i| ((i * (n + 3) * 7) % 251) as u8).collect()
    };
    let bytes: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, size)| pixels(n, *size)).collect();
    let item = |(n, (width, height)): (usize, &(usize, usize))| PictureItem {
        name: format!("{n}.png"),
        caption: format!("a nova, picture {n}"),
        width: *width as u32,
        height: *height as u32,
        face: None,
        held_out: n == 3,
        mirrored: false,
    };
    let items = sizes.iter().enumerate().map(item).collect();
    let read = PicturesRead { trigger: "nova".into(), items, ..PicturesRead::default() };
    let metadata = HashMap::from([("spinbot.pictures".to_owned(), serde_json::to_string(&read).unwrap())]);
    let views = bytes.iter().zip(sizes).enumerate().map(|(n, (bytes, (width, height)))| {
        (format!("picture.{n}"), TensorView::new(Dtype::U8, vec![height, width, 3], bytes).unwrap())
    });
    safetensors::serialize(views, Some(metadata)).unwrap()
}

fn inputs(chain: &Chain) -> Vec<(&'static str, PathBuf)> {
    let (model, given) = (chain.path("model"), chain.path("pictures"));
    tiny_model::write(&model);
    std::fs::write(&given, pictures()).unwrap();
    vec![("model", model), ("pictures", given)]
}

fn params() -> TrainLora {
    TrainLora {
        name: "nova".into(),
        steps: 6,
        rank: 2,
        lr: Some(1e-2),
        warm_up: 1,
        batch: Some(2),
        prior_pictures: 2,
        ema: Some(0.9),
        preview_every: 3,
        validate_every: 2,
        save_every: 2,
        ..TrainLora::default()
    }
}

fn bytes<'a>(outputs: &'a [StepOutput], name: &str) -> &'a [u8] {
    &outputs.iter().find(|output| output.name == name).unwrap().bytes
}

fn report(outputs: &[StepOutput]) -> TrainReport {
    serde_json::from_slice(bytes(outputs, "report")).unwrap()
}

#[test]
fn a_training_that_is_stopped_goes_on_and_ends_as_one_that_was_not() {
    let chain = Chain::new("train_lora");
    let inputs = inputs(&chain);
    let mut told = Told::default();
    let whole = chain.attempt(&params(), &inputs, &mut told).unwrap();
    let names: Vec<&str> = whole.iter().map(|output| output.name).collect();
    assert_eq!(names, TrainLora::OUTPUTS);
    assert_eq!(told.progress.last(), Some(&(6.0, 6.0)));
    assert!(told.previews.contains(&"grid".to_owned()) && told.previews.contains(&"curve".to_owned()));
    let told_of = report(&whole);
    let looked: Vec<u32> = told_of.looks.iter().map(|look| look.step).collect();
    assert_eq!(looked, [0, 3, 6]);
    // Three captions with the trigger word, and one without it.
    assert!(told_of.looks.iter().all(|look| look.identity.is_some() && look.without.is_some()));
    assert_eq!((told_of.identity_by, told_of.batch, told_of.lr), (Some(IdentityBy::Figure), 2, 1e-2));
    let identity: Identity = serde_json::from_slice(bytes(&whole, "identity")).unwrap();
    let held_out: Vec<bool> = identity.pictures.iter().map(|picture| picture.held_out).collect();
    assert_eq!(held_out, [false, false, false, true]);
    assert_eq!((told_of.steps, told_of.losses.len(), told_of.resumed_at, told_of.pictures), (6, 6, 0, 3));
    let measured: Vec<u32> = told_of.validation.iter().map(|(step, _)| *step).collect();
    assert_eq!((measured, told_of.held_out), (vec![0, 2, 4, 6], true));
    assert!(
        told_of.memory_estimate > 4 * told_of.parameters as u64 && told_of.notes.is_empty(),
        "{told_of:?}"
    );

    let kept = chain.path("kept");
    std::fs::create_dir_all(&kept).unwrap();
    // The first progress is that of the beginning: the second run stops after three steps.
    let mut stopped = Told { kept: Some(kept.clone()), cancel_after: Some(4), ..Told::default() };
    assert!(matches!(chain.attempt(&params(), &inputs, &mut stopped), Err(StepError::Cancelled)));
    let mut on = Told { kept: Some(kept), ..Told::default() };
    let ended = chain.attempt(&params(), &inputs, &mut on).unwrap();
    assert_eq!(report(&ended).resumed_at, 3);
    assert_eq!(report(&ended).losses, told_of.losses);
    assert_eq!(report(&ended).validation, told_of.validation);
    for output in ["lora", "grid"] {
        assert!(bytes(&ended, output) == bytes(&whole, output), "{output} differs");
    }
}

#[test]
fn what_goes_wrong_beside_training_is_told_and_training_goes_on() {
    let chain = Chain::new("train_lora_troubled");
    let inputs = inputs(&chain);
    let kept = chain.path("kept");
    // The state cannot take its name, and the preview's prompt is longer than any that is read.
    std::fs::create_dir_all(kept.join("training.safetensors/full")).unwrap();
    let prompts = vec!["hat ".repeat(400)];
    let params = TrainLora { prompts, steps: 2, save_every: 1, ..params() };
    let mut told = Told { kept: Some(kept), ..Told::default() };
    let outputs = chain.attempt(&params, &inputs, &mut told);
    let notes = told.log.join("\n");
    assert!(notes.contains("could not be kept, and training goes on"), "{notes}");
    assert!(notes.contains("the preview at step 0 failed"), "{notes}");
    assert_eq!(report(&outputs.unwrap()).steps, 2);
}

#[test]
fn a_loss_that_is_no_number_is_a_sentence_and_the_last_good_state_stays() {
    let chain = Chain::new("train_lora_broken");
    let inputs = inputs(&chain);
    let kept = chain.path("kept");
    std::fs::create_dir_all(&kept).unwrap();
    let mut stopped = Told { kept: Some(kept.clone()), cancel_after: Some(4), ..Told::default() };
    assert!(matches!(chain.attempt(&params(), &inputs, &mut stopped), Err(StepError::Cancelled)));
    let state = std::fs::read(kept.join("training.safetensors")).unwrap();
    tiny_model::break_unet(&chain.path("model"));
    let mut told = Told { kept: Some(kept.clone()), ..Told::default() };
    let Err(StepError::Fault(fault)) = chain.attempt(&params(), &inputs, &mut told) else {
        panic!("it went on");
    };
    assert_eq!(fault.message, "training stopped: the loss is no number any more at step 4");
    assert!(fault.help.is_some_and(|help| help.contains("lower the learning rate")));
    assert_eq!(std::fs::read(kept.join("training.safetensors")).unwrap(), state);
}
