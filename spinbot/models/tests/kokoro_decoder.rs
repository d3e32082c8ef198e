//! Kokoro's decoder held against PyTorch: the numbers of `tests/reference/kokoro_decoder.py`.
#![allow(clippy::unwrap_used)]

use candle_core::{Device as Place, Tensor, Var};
use spinbot_models::kokoro::{Adapters, Decoder, FRAME, Features, Noise};
use spinbot_models::{Device, ModelError, OpSet};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// `models/kokoro` of `$SPINBOT_CACHE`, else of where `spinbot models pull` puts weights for this user.
fn weights() -> HashMap<String, Tensor> {
    let from_env = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = from_env("SPINBOT_CACHE").unwrap_or_else(|| {
        let home = || from_env("HOME").unwrap_or_else(|| "/".into());
        from_env("XDG_CACHE_HOME").unwrap_or_else(|| home().join(".cache")).join("spinbot")
    });
    let file = cache.join("models/kokoro/kokoro.safetensors");
    candle_core::safetensors::load(file, &Place::Cpu)
        .expect("weights are missing: run `spinbot models pull kokoro`")
}

static REFERENCE: LazyLock<HashMap<String, Tensor>> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/kokoro_decoder.safetensors");
    candle_core::safetensors::load(file, &Place::Cpu).unwrap()
});

static DECODERS: LazyLock<[Decoder; 2]> = LazyLock::new(|| {
    let weights = weights();
    [OpSet::Fused, OpSet::Stock].map(|set| load(&weights, set))
});

fn load(weights: &HashMap<String, Tensor>, set: OpSet) -> Decoder {
    let tensor = |name: &str, shape: &[usize]| {
        let tensor = weights[name].clone();
        assert_eq!(tensor.dims(), shape, "{name}");
        Ok(tensor)
    };
    Decoder::load_with(tensor, &Device::cpu(), set).unwrap()
}

fn fused() -> &'static Decoder {
    &DECODERS[0]
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn reference(name: &str) -> Vec<f32> {
    values(&REFERENCE[name])
}

fn features() -> Features {
    Features { asr: REFERENCE["asr"].clone(), f0: reference("f0"), energy: reference("energy") }
}

fn style() -> [f32; 128] {
    reference("style").try_into().unwrap()
}

fn error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let apart = square(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    (apart / square(&mut b.iter().map(|b| f64::from(*b)))).sqrt()
}

/// The numbers of the reference's `wave`.
fn wave(shape: &[usize], seed: usize, spread: f64) -> Tensor {
    let count = shape.iter().product::<usize>();
    let value = |n: usize| (spread * (n as f64 * 0.7391 + seed as f64).sin()) as f32;
    Tensor::from_vec((0..count).map(value).collect(), shape, &Place::Cpu).unwrap()
}

/// The reference's adapters: `(place in its list, stride, values)` of each gradient by name.
fn reference_gradients() -> HashMap<String, (usize, Vec<f32>)> {
    let parse = |(key, tensor): (&String, &Tensor)| {
        let (place, name) = key.strip_prefix("gradient ")?.split_once(' ')?;
        Some((name.to_owned(), (place.parse().unwrap(), values(tensor))))
    };
    REFERENCE.iter().filter_map(parse).collect()
}

fn reference_adapters(decoder: &Decoder) -> Adapters {
    let places = reference_gradients();
    let fresh = Adapters::new(decoder, 2, 0).unwrap().tensors();
    let tensors = fresh.into_iter().map(|(name, tensor)| {
        let shape = tensor.dims();
        let seed = places[&name].0;
        let filled = match name.rsplit_once('.').unwrap().1 {
            "down" => wave(shape, seed, 0.5 / (shape[1] as f64).sqrt()),
            // Its seed is one more than that of its A, which lies right before it.
            _ => wave(shape, seed, 0.05),
        };
        (name, filled)
    });
    Adapters::from_tensors(decoder, &tensors.collect(), true).unwrap()
}

#[test]
fn every_stage_equals_pytorch_given_its_excitation() {
    let har = reference("har");
    for decoder in &*DECODERS {
        let mut seen = 0;
        let audio = decoder
            .audio_observed(&features(), &style(), None, Noise::Spectrum(&har), &mut |name, result| {
                let stride = match name {
                    "encode" => 13,
                    "decode" => 7,
                    "noise_res 0" | "ups 0" => 61,
                    "noise_res 1" | "ups 1" => 181,
                    "conv_post" => 31,
                    _ => return,
                };
                let sampled: Vec<f32> = values(result).into_iter().step_by(stride).collect();
                let off = error(&sampled, &reference(name));
                assert!(off < 1e-5, "{name} is {off} apart");
                seen += 1;
            })
            .unwrap();
        assert_eq!(seen, 7);
        let off = error(&audio, &reference("audio"));
        assert!(off < 1e-4, "the audio is {off} apart");
        assert_eq!(audio.len(), 12 * FRAME);
    }
}

#[test]
fn the_excitation_equals_pytorch_where_its_angles_mean_something() {
    let mut seen = 0;
    let mut check = |name: &'static str, result: &Tensor| match name {
        "source" => {
            let sampled: Vec<f32> = values(result).into_iter().step_by(5).collect();
            let off = error(&sampled, &reference("source"));
            assert!(off < 1e-3, "the source is {off} apart");
            seen += 1;
        }
        "har" => {
            let (ours, theirs) = (values(result), reference("har"));
            let (mut apart, mut size) = (0.0, 0.0);
            for (ours, theirs) in ours.chunks(22).zip(theirs.chunks(22)) {
                for bin in 0..11 {
                    apart += f64::from(ours[bin] - theirs[bin]).powi(2);
                    size += f64::from(theirs[bin]).powi(2);
                    // ±π are the same angle, and of nothing there is none.
                    let turned = f64::from(ours[11 + bin] - theirs[11 + bin]);
                    let turned = turned.sin().atan2(turned.cos()).abs();
                    assert!(theirs[bin] < 1e-2 || turned < 0.05, "bin {bin} is turned by {turned}");
                }
            }
            assert!((apart / size).sqrt() < 1e-3, "{}", (apart / size).sqrt());
            seen += 1;
        }
        _ => {}
    };
    fused().audio_observed(&features(), &style(), None, Noise::Off, &mut check).unwrap();
    assert_eq!(seen, 2);
}

#[test]
fn the_gradient_by_the_style_equals_pytorch_and_finite_differences() {
    let har = reference("har");
    let noise = Noise::Spectrum(&har);
    for decoder in &*DECODERS {
        let style = Var::from_slice(&style(), 128, &Place::Cpu).unwrap();
        let audio = decoder.audio_tensor(&features(), &style, None, noise, 0..12).unwrap();
        let grads = audio.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let off = error(&values(grads.get(&style).unwrap()), &reference("style gradient"));
        assert!(off < 1e-4, "the gradient is {off} apart");
    }
    // Along the gradient, where the differences are the least noisy.
    let gradient = reference("style gradient");
    let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    let loss = |step: f64| {
        let moved: [f32; 128] =
            std::array::from_fn(|n| (f64::from(style()[n]) + step * f64::from(gradient[n]) / norm) as f32);
        let audio = fused().audio(&features(), &moved, None, noise).unwrap();
        audio.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>()
    };
    // Wider, the audio's curvature shows; narrower, the rounding of f32.
    let slope = (loss(4e-4) - loss(-4e-4)) / 8e-4;
    assert!((slope / norm - 1.0).abs() < 2e-3, "{slope}, {norm}");
}

#[test]
fn the_gradients_by_adapters_equal_pytorch_and_none_is_zero() {
    let har = reference("har");
    let expected = reference_gradients();
    for decoder in &*DECODERS {
        let adapters = reference_adapters(decoder);
        let style = Var::from_slice(&style(), 128, &Place::Cpu).unwrap();
        let noise = Noise::Spectrum(&har);
        let audio = decoder.audio_tensor(&features(), &style, Some(&adapters), noise, 0..12).unwrap();
        let sampled: Vec<f32> = values(&audio).into_iter().step_by(7).collect();
        let off = error(&sampled, &reference("adapted audio"));
        assert!(off < 1e-4, "the audio is {off} apart");
        let grads = audio.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let off = error(&values(grads.get(&style).unwrap()), &reference("adapted style gradient"));
        assert!(off < 1e-4, "the gradient by the style is {off} apart");
        let names = adapters.names();
        assert_eq!((names.len(), adapters.variables().len()), (expected.len(), expected.len()));
        for (name, variable) in names.iter().zip(adapters.variables()) {
            let grad = values(grads.get(variable).unwrap_or_else(|| panic!("{name} has no gradient")));
            let norm = grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            let expected_norm = f64::from(reference(&format!("norm {name}"))[0]);
            assert!(
                norm > 0.0 && (norm / expected_norm - 1.0).abs() < 1e-4,
                "{name}: {norm}, {expected_norm}"
            );
            let sampled: Vec<f32> = grad.iter().copied().step_by(grad.len() / 24 + 1).collect();
            let off = error(&sampled, &expected[name].1);
            assert!(off < 1e-4, "the gradient by {name} is {off} apart");
        }
    }
}

#[test]
fn adapters_merge_scale_and_survive_their_file() {
    let weights = weights();
    let har = reference("har");
    let noise = Noise::Spectrum(&har);
    let speak = |decoder: &Decoder, adapters: Option<&Adapters>| {
        decoder.audio(&features(), &style(), adapters, noise).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    for set in [OpSet::Fused, OpSet::Stock] {
        let mut decoder = load(&weights, set);
        let plain = speak(&decoder, None);
        let adapters = reference_adapters(&decoder);
        let apart = speak(&decoder, Some(&adapters));
        assert!(error(&apart, &plain) > 1e-2, "the adapters do nothing");
        let fresh = Adapters::new(&decoder, 4, 7).unwrap();
        assert_eq!(fresh.len(), 539_148);
        assert!(error(&speak(&decoder, Some(&fresh)), &plain) < 1e-5);
        let none = adapters.scaled(0.0).unwrap();
        assert!(none.variables().is_empty());
        assert!(error(&speak(&decoder, Some(&none)), &plain) < 1e-5);
        let most = adapters.scaled(0.8).unwrap();
        let file = folder.path().join("adapters.safetensors");
        most.save(&file).unwrap();
        let loaded = Adapters::load(&decoder, &file, false).unwrap();
        let most = speak(&decoder, Some(&most));
        assert_eq!(speak(&decoder, Some(&loaded)), most);
        assert!(error(&most, &apart) > 1e-3 && error(&most, &plain) < error(&apart, &plain));
        decoder.merge(&adapters).unwrap();
        let off = error(&speak(&decoder, None), &apart);
        assert!(off < 1e-4, "merged adapters are {off} apart");
    }
}

#[test]
fn adapters_of_another_shape_are_refused() {
    let good = Adapters::new(fused(), 3, 1).unwrap().tensors();
    let refused = |change: &dyn Fn(&mut HashMap<String, Tensor>), expected: &str| {
        let mut tensors = good.clone();
        change(&mut tensors);
        let error = Adapters::from_tensors(fused(), &tensors, false).unwrap_err();
        assert!(matches!(error, ModelError::Weights { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Place::Cpu).unwrap();
    let up = "decoder.asr_res.0.up";
    refused(&|t| drop(t.remove("decoder.encode.norm1.offset")), "`decoder.encode.norm1.offset` is missing");
    refused(&|t| drop(t.insert(up.into(), zeros(&[64, 65]))), "rank is 65");
    refused(&|t| drop(t.insert(up.into(), zeros(&[64]))), "rank is 0");
    refused(&|t| drop(t.insert(up.into(), zeros(&[64, 2]))), "has shape");
    let infinite = (zeros(&[64, 3]) + f64::INFINITY).unwrap();
    refused(&|t| drop(t.insert(up.into(), infinite.clone())), "not finite");
}

#[test]
fn a_seed_fixes_the_audio_and_threads_do_not_change_it() {
    let speak = |noise| fused().audio(&features(), &style(), None, noise).unwrap();
    let one = speak(Noise::Seed(1));
    assert_eq!(speak(Noise::Seed(1)), one);
    assert!(error(&speak(Noise::Seed(2)), &one) > 1e-3);
    assert!(error(&speak(Noise::Off), &one) > 1e-3);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let apart = error(&pool.install(|| speak(Noise::Seed(1))), &one);
    assert!(apart < 1e-4, "{apart}");
}

#[test]
fn a_crop_is_spoken_by_itself_and_what_does_not_fit_is_refused() {
    let all = features();
    let style_tensor = Tensor::new(style().as_slice(), &Place::Cpu).unwrap();
    let crop = fused().audio_tensor(&all, &style_tensor, None, Noise::Off, 2..9).unwrap();
    let alone = Features {
        asr: all.asr.narrow(0, 2, 7).unwrap(),
        f0: all.f0[4..18].to_vec(),
        energy: all.energy[4..18].to_vec(),
    };
    let alone = fused().audio(&alone, &style(), None, Noise::Off).unwrap();
    assert_eq!(crop.dims(), [7 * FRAME]);
    assert!(error(&values(&crop), &alone) < 1e-5);
    for frames in [3..3, 5..13, 12..14] {
        assert!(fused().audio_tensor(&all, &style_tensor, None, Noise::Off, frames).is_err());
    }
    let short = Features { f0: vec![100.0; 23], ..features() };
    assert!(fused().audio(&short, &style(), None, Noise::Off).is_err());
    let har = vec![0.0; 22];
    assert!(fused().audio(&all, &style(), None, Noise::Spectrum(&har)).is_err());
    // One frame is the least there is.
    let one = fused().audio_tensor(&all, &style_tensor, None, Noise::Seed(1), 0..1).unwrap();
    assert!(values(&one).iter().all(|sample| sample.is_finite()));
}
