//! Whole pictures held against diffusers' pipelines: `tests/reference/diffusion_pipeline.py`.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::diffusion::recipe::{self, Reference};
use crate::diffusion::scheduler::SchedulerKind;
use crate::diffusion::text::{self, ClipText, ClipTextConfig};
use crate::diffusion::unet::UNetConfig;
use crate::diffusion::{LowRank, vae};
use crate::ops::OpSet;
use candle_core::DType;
use serde_json::Value;
use std::ops::ControlFlow;

const PROMPTS: [&str; 2] = ["a robot with a red hat", "a long portrait and a hat"];
const NEGATIVE: &str = "red and long";
const METHODS: [(&str, SchedulerKind); 3] = [
    ("ddim", SchedulerKind::Ddim),
    ("euler", SchedulerKind::Euler),
    ("dpmpp_2m_karras", SchedulerKind::DpmSolverMultistep),
];

fn plans() -> Value {
    serde_json::from_slice(&std::fs::read(recipe::fixture("reference/diffusion_pictures.json")).unwrap())
        .unwrap()
}

fn pipeline(name: &str, dtype: DType, set: OpSet) -> Pipeline {
    let plan = plans()[name].take();
    let unet = UNetConfig::from_json(plan["unet"].to_string().as_bytes()).unwrap();
    let xl = unet.addition_embed_type.is_some();
    let mut encoders = vec![text::tests::encoder(false, dtype, set)];
    if xl {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(
            recipe::fixture("fixtures/diffusion/tokenizer/tokenizer.json"),
            folder.path().join("tokenizer.json"),
        )
        .unwrap();
        std::fs::write(folder.path().join("special_tokens_map.json"), r#"{"pad_token": {"content": "!"}}"#)
            .unwrap();
        let vocabulary = text::tests::vocabulary();
        let mut second = text::tests::encoder(true, dtype, set);
        second.tokenizer = text::ClipTokenizer::open(folder.path(), 16, vocabulary).unwrap();
        encoders.push(second);
    } else if unet.cross_attention_dim == PerBlock::All(48) {
        let second = text::tests::config(true);
        let first = text::tests::config(false);
        let config = ClipTextConfig {
            num_hidden_layers: first.num_hidden_layers,
            eos_token_id: first.eos_token_id,
            ..second
        };
        let weights = recipe::weights(&["text_model.", "text_projection"], dtype);
        encoders[0].model = ClipText::load(&config, "text_encoder", weights, set).unwrap();
    }
    let unet = UNet2DCondition::load(unet, recipe::weights(&[], dtype), set).unwrap();
    let vae = vae::tests::load(plan["vae"].as_str().unwrap(), DType::F32, set);
    let scheduler = SchedulerConfig::from_json(&plan["scheduler"].to_string()).unwrap();
    Pipeline::new(encoders, unet, vae, scheduler, xl, &crate::Device::cpu()).unwrap()
}

fn request(name: &str, pipeline: &Pipeline) -> DrawRequest {
    let plan = plans()[name].take();
    let subject =
        |prompt: &&str| Subject { negative_prompt: Some(NEGATIVE.into()), ..Subject::new(*prompt, 0) };
    let channels = pipeline.vae().config().latent_channels;
    DrawRequest {
        steps: 10,
        guidance_scale: plan["guidance"].as_f64().unwrap(),
        guidance_rescale: plan["rescale"].as_f64().unwrap(),
        noise: Some(recipe::noise("noise", (2, channels, 8, 8))),
        ..DrawRequest::new(PROMPTS.iter().map(subject).collect(), 32, 32)
    }
}

fn draw(pipeline: &Pipeline, request: &DrawRequest) -> Tensor {
    let go_on = &mut |_: &Progress| ControlFlow::Continue(());
    pipeline.draw(request, &PipelineAdapters::default(), go_on).unwrap().unwrap()
}

/// The largest difference of any pixel.
fn apart(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar().unwrap()
}

#[test]
fn ten_steps_of_every_shape_and_method_are_the_reference_s() {
    let reference = Reference::read("diffusion_pictures.safetensors");
    for name in ["sd15", "sd2", "sdxl", "embedded"] {
        for set in [OpSet::Stock, OpSet::Fused] {
            let pipeline = pipeline(name, DType::F32, set);
            for (method, kind) in METHODS {
                let karras = (kind == SchedulerKind::DpmSolverMultistep).then_some(true);
                let request = DrawRequest { scheduler: Some(kind), karras, ..request(name, &pipeline) };
                let difference =
                    reference.difference(&format!("{name}.{method}"), &draw(&pipeline, &request));
                assert!(difference <= 1e-3, "{name} {method} {set:?}: {difference} away");
            }
        }
    }
}

/// One subject of the SD 1.5 shape that begins from the reference's picture.
fn from_picture(pipeline: &Pipeline, mask: Option<Tensor>) -> DrawRequest {
    let mut request = request("sd15", pipeline);
    request.subjects.truncate(1);
    let picture = (recipe::input("picture", (1, 3, 32, 32)) * f64::from(0.8f32)).unwrap();
    request.noise = Some(recipe::noise("noise", (1, 4, 8, 8)));
    request.source = Some(Source { picture, strength: 0.6, mask });
    request
}

fn hole() -> Tensor {
    let inside = |at: usize| (8..24).contains(&(at / 32)) && (12..32).contains(&(at % 32));
    let values: Vec<f32> = (0..32 * 32).map(|at| f32::from(u8::from(inside(at)))).collect();
    Tensor::from_vec(values, (1, 1, 32, 32), &candle_core::Device::Cpu).unwrap()
}

#[test]
fn a_picture_and_a_hole_in_it_are_redrawn_as_the_reference_does() {
    let reference = Reference::read("diffusion_pictures.safetensors");
    let pipeline = pipeline("sd15", DType::F32, OpSet::Fused);
    reference.check("img2img", &draw(&pipeline, &from_picture(&pipeline, None)), 1e-3);
    let request = from_picture(&pipeline, Some(hole()));
    let drawn = draw(&pipeline, &request);
    reference.check("inpaint", &drawn, 1e-3);
    let picture = &request.source.unwrap().picture;
    let outside = (1.0 - hole()).unwrap();
    let kept = [&drawn, picture].map(|x| x.broadcast_mul(&outside).unwrap());
    assert_eq!(apart(&kept[0], &kept[1]), 0.0);
}

#[test]
fn no_strength_keeps_the_picture_and_no_step_is_taken() {
    let pipeline = pipeline("sd15", DType::F32, OpSet::Fused);
    let mut request = from_picture(&pipeline, None);
    let source = request.source.as_mut().unwrap();
    source.strength = 0.0;
    let expected = pipeline.vae().decode(&pipeline.vae().encode(&source.picture).unwrap().mean).unwrap();
    let mut steps = 0;
    let drawn = pipeline.draw(&request, &PipelineAdapters::default(), &mut |_| {
        steps += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(steps, 0);
    assert!(apart(&drawn.unwrap().unwrap(), &expected.clamp(-1.0, 1.0).unwrap()) < 1e-6);
}

#[test]
fn a_seed_gives_the_same_picture_alone_and_in_a_batch() {
    let pipeline = pipeline("embedded", DType::F32, OpSet::Fused);
    for kind in [SchedulerKind::Ddim, SchedulerKind::EulerAncestral, SchedulerKind::Lcm] {
        let of = |subjects: Vec<Subject>| DrawRequest {
            steps: 4,
            guidance_scale: 2.0,
            scheduler: Some(kind),
            ..DrawRequest::new(subjects, 32, 32)
        };
        let [a, b] = [Subject::new(PROMPTS[0], 7), Subject::new(PROMPTS[1], u64::MAX)];
        let together = draw(&pipeline, &of(vec![a.clone(), b.clone(), a.clone()]));
        let [first, second, third] = [0, 1, 2].map(|at| together.narrow(0, at, 1).unwrap());
        assert!(apart(&first, &draw(&pipeline, &of(vec![a.clone()]))) < 1e-4, "{kind:?}");
        assert!(apart(&second, &draw(&pipeline, &of(vec![b]))) < 1e-4, "{kind:?}");
        assert!(apart(&first, &third) < 1e-4 && apart(&first, &second) > 0.1, "{kind:?}");
        let other = draw(&pipeline, &of(vec![Subject { seed: 8, ..a }]));
        assert!(apart(&first, &other) > 0.1, "{kind:?}: the seed changes nothing");
    }
}

#[test]
fn every_step_reports_and_can_be_the_last() {
    let pipeline = pipeline("embedded", DType::F32, OpSet::Fused);
    let request = DrawRequest { steps: 5, ..DrawRequest::new(vec![Subject::new(PROMPTS[0], 1)], 32, 48) };
    let mut seen = Vec::new();
    let mut last = None;
    let drawn = pipeline.draw(&request, &PipelineAdapters::default(), &mut |progress| {
        seen.push((progress.step, progress.steps));
        assert_eq!(progress.preview().unwrap().dims(), [1, 3, 8, 12]);
        last = Some(progress.decoded().unwrap());
        ControlFlow::Continue(())
    });
    assert_eq!(seen, (1..=5).map(|step| (step, 5)).collect::<Vec<_>>());
    // The last clean latents are the picture's.
    let last = last.unwrap().clamp(-1.0, 1.0).unwrap();
    assert!(apart(&drawn.unwrap().unwrap(), &last) < 1e-4);

    let mut steps = 0;
    let broken_off = pipeline.draw(&request, &PipelineAdapters::default(), &mut |progress| {
        steps += 1;
        if progress.step == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(broken_off.unwrap().is_none());
    assert_eq!(steps, 3);
}

#[test]
fn the_preview_is_the_best_linear_map_and_finds_one_that_is_there() {
    let latents = recipe::input("latents", (4, 5, 8, 8));
    let weight = recipe::input("map", (3, 5, 1, 1));
    let colours = (latents.conv2d(&(weight * 0.3).unwrap(), 0, 1, 1, 1).unwrap() * 0.5).unwrap();
    let pictures = colours.upsample_nearest2d(32, 32).unwrap();
    let fitted = LatentPreview::solve(&latents, &pictures, 4).unwrap();
    assert!(apart(&fitted.pictures(&latents).unwrap(), &colours) < 0.01);
}

#[test]
fn every_adapter_changes_the_picture() {
    let pipeline = pipeline("sdxl", DType::F32, OpSet::fastest_on(&candle_core::Device::Cpu));
    let request = DrawRequest { steps: 2, ..request("sdxl", &pipeline) };
    let plain = draw(&pipeline, &request);
    let sites =
        [pipeline.unet().sites(), pipeline.encoders()[0].model.sites(), pipeline.encoders()[1].model.sites()];
    for (component, sites) in sites.into_iter().enumerate() {
        let site =
            sites.iter().find(|site| site.path.contains("to_v") || site.path.contains("v_proj")).unwrap();
        let mut adapters = PipelineAdapters::default();
        let own = [&mut adapters.unet, &mut adapters.text_encoder, &mut adapters.text_encoder_2];
        let [down, up] =
            [site.down_shape(2), vec![site.outputs, 2]].map(|shape| recipe::input("pair", shape));
        own[component].push(site, LowRank { down, up, scale: 0.5 });
        let go_on = &mut |_: &Progress| ControlFlow::Continue(());
        let adapted = pipeline.draw(&request, &adapters, go_on).unwrap().unwrap();
        assert!(apart(&plain, &adapted) > 1e-3, "{}", site.path);
    }
}

#[test]
fn bounded_memory_gives_the_same_picture() {
    let mut pipeline = pipeline("sd15", DType::F32, OpSet::Fused);
    let request = DrawRequest { steps: 3, ..request("sd15", &pipeline) };
    let plain = draw(&pipeline, &request);
    pipeline.set_memory(Some(64), Some(512));
    assert!(apart(&plain, &draw(&pipeline, &request)) < 1e-4);
}

#[test]
fn a_request_that_cannot_be_met_is_refused_in_a_sentence() {
    let pipeline = pipeline("sd15", DType::F32, OpSet::Fused);
    assert_eq!(pipeline.multiple(), 8);
    let refused = |change: &dyn Fn(&mut DrawRequest)| {
        let mut request = request("sd15", &pipeline);
        change(&mut request);
        let go_on = &mut |_: &Progress| ControlFlow::Continue(());
        let error = pipeline.draw(&request, &PipelineAdapters::default(), go_on).unwrap_err();
        (error.to_string(), error.help().unwrap_or_default())
    };
    let (sentence, help) = refused(&|request| request.width = 500);
    assert_eq!(sentence, "the drawing: 500x32 is no size that this model draws");
    assert_eq!(help, "edges are multiples of 8 up to 8192: try 504x32");
    assert!(refused(&|request| request.height = 0).1.ends_with("try 32x8"));
    assert!(refused(&|request| request.height = 1 << 40).1.ends_with("try 32x8192"));
    assert!(refused(&|request| request.subjects.clear()).0.contains("no prompt"));
    assert!(refused(&|request| request.guidance_scale = f64::NAN).0.contains("NaN"));
    assert!(refused(&|request| request.guidance_rescale = 1.5).0.contains("1.5"));
    assert!(refused(&|request| request.steps = 0).0.contains("scheduler"));
    let source = |shape: (usize, usize, usize, usize), strength, mask| {
        let picture = recipe::input("picture", shape);
        Some(Source { picture, strength, mask })
    };
    assert!(
        refused(&|request| request.source = source((1, 3, 16, 32), 0.5, None)).0.contains("[1, 3, 16, 32]")
    );
    assert!(
        refused(&|request| request.source = source((3, 3, 32, 32), 0.5, None)).0.contains("not 2 of 32x32")
    );
    assert!(
        refused(&|request| request.source = source((1, 3, 32, 32), 1.5, None)).0.contains("strength of 1.5")
    );
    let small = Some(recipe::input("mask", (1, 1, 16, 16)));
    let masked = source((1, 3, 32, 32), 0.5, small);
    assert!(refused(&|request| request.source.clone_from(&masked)).0.contains("[1, 1, 16, 16]"));
}

#[test]
fn parts_that_do_not_fit_are_refused_when_they_are_put_together() {
    let build = |encoders: &str, unet: &str, autoencoder: &str| {
        let Pipeline { encoders, .. } = pipeline(encoders, DType::F32, OpSet::Stock);
        let Pipeline { unet, scheduler, .. } = pipeline(unet, DType::F32, OpSet::Stock);
        let autoencoder = vae::tests::load(autoencoder, DType::F32, OpSet::Stock);
        let built = Pipeline::new(encoders, unet, autoencoder, scheduler, false, &crate::Device::cpu());
        built.err().unwrap().to_string()
    };
    assert!(build("sd15", "sd15", "embedded").contains("4 and gives 4 channels, the autoencoder has 8"));
    assert!(build("sd15", "sd2", "sd").contains("reads text of [48] channels, the text encoders give 32"));
}

#[test]
fn half_precision_draws_nearly_the_same_picture() {
    let reference = Reference::read("diffusion_pictures.safetensors");
    let pipeline = pipeline("embedded", DType::F16, OpSet::Fused);
    let request = DrawRequest { scheduler: Some(SchedulerKind::Ddim), ..request("embedded", &pipeline) };
    let drawn = draw(&pipeline, &request);
    assert_eq!(drawn.dtype(), DType::F32);
    let apart = (&drawn - reference.get("embedded.ddim")).unwrap().abs().unwrap().mean_all().unwrap();
    assert!(apart.to_scalar::<f32>().unwrap() < 0.01);
}

#[test]
fn pictures_go_to_bytes_and_back() {
    let picture = Rgb8 { width: 4, height: 2, pixels: (0..24).map(|at| at * 10).collect() };
    let tensor = from_rgb8(&picture, &crate::Device::cpu()).unwrap();
    assert_eq!(tensor.dims(), [1, 3, 2, 4]);
    assert_eq!(to_rgb8(&tensor).unwrap()[0], picture);
    let wild = (tensor * 5.0).unwrap();
    assert!(
        to_rgb8(&wild).unwrap()[0]
            .pixels
            .iter()
            .all(|&byte| byte == 0 || byte == 255 || byte.abs_diff(128) < 128)
    );
    let error = from_rgb8(&Rgb8 { width: usize::MAX, ..picture }, &crate::Device::cpu()).unwrap_err();
    assert!(error.to_string().contains("24 bytes are no RGB picture"));
}
