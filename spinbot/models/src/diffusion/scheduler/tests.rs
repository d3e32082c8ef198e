//! Parity with diffusers (tests/reference/diffusion_schedulers.py), and what is refused.
#![allow(clippy::unwrap_used)]

use super::*;
use candle_core::Device;
use serde_json::Value;

fn reference() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/diffusion_schedulers.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The script's noise.
fn wave(seed: usize) -> Tensor {
    let value = |place: usize| (1.4 * (seed as f64 * 7.1 + place as f64 * 12.9898).sin()) as f32;
    let values: Vec<f32> = (1..=4).map(value).collect();
    Tensor::from_vec(values, (1, 1, 2, 2), &Device::Cpu).unwrap()
}

/// The script's network.
fn network(given: &Tensor, timestep: f32) -> Tensor {
    let shift = given.affine(0.3, -0.1 * f64::from(timestep) / 1000.0).unwrap();
    (shift + wave(100).affine(0.2, 0.0).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference, relative where numbers exceed 1.
fn apart(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len(), "{ours:?} {theirs:?}");
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
    differences.fold(0.0, |worst, d| if d > worst || d.is_nan() { d } else { worst })
}

fn run(kind: SchedulerKind, config: &SchedulerConfig, from: Option<f64>) -> (Scheduler, Vec<Vec<f32>>) {
    let mut scheduler = Scheduler::new(kind, config, 10).unwrap();
    let begin = from.map_or(0, |strength| scheduler.start(strength));
    let mut sample = match from {
        Some(_) => scheduler.add_noise(&wave(50), &wave(0), begin).unwrap(),
        None => wave(0).affine(scheduler.init_noise_sigma(), 0.0).unwrap(),
    };
    let mut samples = vec![flat(&sample)];
    for index in begin..scheduler.timesteps().len() {
        let given = scheduler.scale_model_input(&sample, index).unwrap();
        let output = network(&given, scheduler.timesteps()[index]);
        let noise = scheduler.wants_noise(index).then(|| wave(index + 1));
        sample = scheduler.step(&output, index, &sample, noise.as_ref()).unwrap().prev_sample;
        samples.push(flat(&sample));
    }
    (scheduler, samples)
}

#[test]
fn runs_pass_through_the_samples_of_diffusers() {
    let reference = reference();
    let cases = reference["cases"].as_array().unwrap();
    for case in cases {
        let text = case["config"].to_string();
        let config = SchedulerConfig::from_json(&text).unwrap();
        let kind = config.kind().unwrap();
        assert_eq!(Some(kind.class_name()), config.class_name.as_deref());
        let (scheduler, whole) = run(kind, &config, None);
        let levels = [
            apart(scheduler.timesteps(), &numbers(&case["timesteps"])),
            apart(scheduler.sigmas(), &numbers(&case["sigmas"])),
            apart(&[scheduler.init_noise_sigma() as f32], &[case["init"].as_f64().unwrap() as f32]),
        ];
        let (_, half) = run(kind, &config, Some(0.5));
        for (ours, theirs) in [(whole, &case["samples"]), (half, &case["half"])] {
            let theirs = theirs.as_array().unwrap();
            assert_eq!(ours.len(), theirs.len(), "{text}");
            for (step, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                let difference = apart(ours, &numbers(theirs));
                assert!(difference <= 1e-4, "{text}: {difference} at step {step}: {ours:?} {theirs}");
            }
        }
        for level in levels {
            assert!(level <= 1e-5, "{text}: {levels:?}");
        }
    }
    assert!(cases.len() > 100);
}

#[test]
fn training_sees_the_noise_of_diffusers() {
    let reference = &reference()["training"];
    let config = SchedulerConfig::stable_diffusion(PredictionType::VPrediction);
    let schedule = NoiseSchedule::new(&config).unwrap();
    let timesteps: Vec<usize> = numbers(&reference["timesteps"]).into_iter().map(|t| t as usize).collect();
    let batch = |first: usize| Tensor::cat(&(first..first + 5).map(wave).collect::<Vec<_>>(), 0).unwrap();
    let (clean, noise) = (batch(0), batch(5));
    let noisy = schedule.add_noise(&clean, &noise, &timesteps).unwrap();
    assert!(apart(&flat(&noisy), &numbers(&reference["noisy"])) < 1e-6);
    let velocity = schedule.velocity(&clean, &noise, &timesteps).unwrap();
    assert!(apart(&flat(&velocity), &numbers(&reference["velocity"])) < 1e-6);
    assert_eq!(flat(&schedule.target(&clean, &noise, &timesteps).unwrap()), flat(&velocity));
    let ratios: Vec<f32> = timesteps.iter().map(|t| schedule.snr(*t).unwrap()).collect();
    assert!(apart(&ratios, &numbers(&reference["snr"])) < 1e-5, "{ratios:?}");
    // One sample goes another way than a batch.
    let alone = schedule.add_noise(&wave(2), &wave(7), &timesteps[2..3]).unwrap();
    assert!(apart(&flat(&alone), &flat(&noisy)[8..12]) < 1e-6);
    assert!(schedule.snr(1000).is_err());
}

#[test]
fn a_perfect_network_is_led_to_its_picture_by_every_scheduler() {
    let config = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
    for kind in SchedulerKind::ALL {
        let mut scheduler = Scheduler::new(kind, &config, 12).unwrap();
        let picture = wave(3);
        let mut sample = wave(0).affine(scheduler.init_noise_sigma(), 0.0).unwrap();
        for index in 0..scheduler.timesteps().len() {
            let clean = scheduler.add_noise(&picture, &wave(0).zeros_like().unwrap(), index).unwrap();
            let unit = flat(&scheduler.add_noise(&picture.zeros_like().unwrap(), &wave(0), index).unwrap());
            let sigma = f64::from(unit[0] / flat(&wave(0))[0]);
            let output = ((&sample - &clean).unwrap() / sigma).unwrap();
            let noise = scheduler.wants_noise(index).then(|| wave(index + 1));
            let step = scheduler.step(&output, index, &sample, noise.as_ref()).unwrap();
            assert!(apart(&flat(&step.pred_original_sample), &flat(&picture)) < 1e-3, "{kind:?}");
            sample = step.prev_sample;
        }
        // With `set_alpha_to_one` off DDIM ends at the noise of timestep 0, and LCM keeps a trace of its input.
        assert!(apart(&flat(&sample), &flat(&picture)) < 0.05, "{kind:?} {sample} {picture}");
    }
}

#[test]
fn samples_keep_their_dtype_and_strength_picks_the_start() {
    let config = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
    let mut scheduler = Scheduler::new(SchedulerKind::Euler, &config, 10).unwrap();
    let half = wave(0).to_dtype(DType::F16).unwrap();
    let step = scheduler.step(&half, 0, &half, None).unwrap();
    assert_eq!((step.prev_sample.dtype(), step.pred_original_sample.dtype()), (DType::F16, DType::F16));
    let starts = [-1.0, 0.0, 0.25, 0.5, 1.0, 7.0].map(|strength| scheduler.start(strength));
    assert_eq!(starts, [10, 10, 8, 5, 0, 0]);
    assert_eq!(flat(&scheduler.add_noise(&wave(1), &wave(2), 10).unwrap()), flat(&wave(1)));
}

#[test]
fn what_cannot_be_run_is_a_sentence() {
    let stable = SchedulerConfig::stable_diffusion(PredictionType::Epsilon);
    let zero = SchedulerConfig {
        rescale_betas_zero_snr: Some(true),
        timestep_spacing: Some(TimestepSpacing::Trailing),
        ..stable.clone()
    };
    for (kind, config, steps, expected) in [
        (SchedulerKind::Ddim, &stable, 0, "0 steps asked for, 1 to 1000 can be taken"),
        (SchedulerKind::Euler, &stable, 1001, "1001 steps asked for"),
        (SchedulerKind::Lcm, &stable, 51, "distilled for 50 of 1000"),
        (SchedulerKind::Ddim, &stable, 1000, "timestep 1000 of this many steps is beyond"),
        (SchedulerKind::DpmSolverMultistep, &stable, 1000, "noise levels do not fall"),
        (SchedulerKind::Ddim, &zero, 10, "predicts the noise says nothing at timestep 999"),
    ] {
        let config = match kind {
            SchedulerKind::DpmSolverMultistep | SchedulerKind::Ddim if steps == 1000 => {
                &SchedulerConfig { timestep_spacing: Some(TimestepSpacing::Leading), ..config.clone() }
            }
            _ => config,
        };
        let sentence = Scheduler::new(kind, config, steps).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
    }
    for (json, expected) in [
        ("[]", "cannot be read"),
        (r#"{"prediction_type":"flow_prediction"}"#, "unknown variant `flow_prediction`"),
        (r#"{"thresholding":true}"#, "`thresholding` is not built"),
        (r#"{"timestep_type":"continuous"}"#, "`timestep_type` is continuous, only discrete is built"),
        (r#"{"variance_type":"learned_range"}"#, "predicts its variance"),
        (r#"{"num_train_timesteps":99999999}"#, "99999999 training timesteps"),
    ] {
        let sentence = SchedulerConfig::from_json(json).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
    }
    let flow = SchedulerConfig::from_json(r#"{"_class_name":"FlowMatchEulerDiscreteScheduler"}"#).unwrap();
    assert!(flow.kind().unwrap_err().to_string().contains("`FlowMatchEulerDiscreteScheduler` is not built"));
    let betas = SchedulerConfig { trained_betas: Some(vec![0.1, 2.0]), ..SchedulerConfig::default() };
    assert!(NoiseSchedule::new(&betas).unwrap_err().to_string().contains("between 0 and 1"));
    let mut ancestral = Scheduler::new(SchedulerKind::EulerAncestral, &stable, 4).unwrap();
    assert!(ancestral.step(&wave(0), 0, &wave(0), None).unwrap_err().to_string().contains("needs noise"));
    assert!(ancestral.step(&wave(0), 4, &wave(0), None).unwrap_err().to_string().contains("in a run of 4"));
}

#[test]
fn a_config_with_pythons_infinity_is_read() {
    let config = SchedulerConfig::from_json(
        r#"{"_class_name":"PNDMScheduler","lambda_min_clipped":-Infinity,"skip_prk_steps":true,"trained_betas":null}"#,
    )
    .unwrap();
    assert_eq!((config.kind().unwrap(), config.lambda_min_clipped), (SchedulerKind::Ddim, None));
}
