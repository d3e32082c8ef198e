//! Stock against fused: values and gradients of layers of odd sizes with adapters.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::diffusion::adapters::{Adapters, LowRank, Site};
use crate::ops::OpSet;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;

fn random(seed: u64, shape: &[usize]) -> Tensor {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let values = (0..shape.iter().product()).map(|_| random.random_range(-1.0..1.0_f32)).collect::<Vec<_>>();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn weights(set: OpSet, shapes: &[(&str, &[usize])]) -> Weights<'static> {
    let tensors =
        shapes.iter().enumerate().map(|(n, (name, shape))| ((*name).to_owned(), random(n as u64, shape)));
    let tensors: HashMap<String, Tensor> = tensors.collect();
    Weights::new("net", VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), set)
}

/// Adapters of those ranks on every site, the second with half the weight.
fn adapters(sites: &[Site], ranks: &[usize]) -> (Adapters, Vec<Var>) {
    let (mut adapters, mut variables) = (Adapters::none(), Vec::new());
    for (site, rank) in sites.iter().flat_map(|site| ranks.iter().map(move |rank| (site, *rank))) {
        let variable = |seed, shape: &[usize]| Var::from_tensor(&random(seed, shape)).unwrap();
        let down = variable(90 + site.index as u64, &site.down_shape(rank));
        let up = variable(95 + site.index as u64, &[site.outputs, rank]);
        let scale = 0.7 / rank as f64;
        adapters.push(site, LowRank { down: down.as_tensor().clone(), up: up.as_tensor().clone(), scale });
        variables.extend([down, up]);
    }
    (adapters, variables)
}

/// The values, and the gradients of their weighted sum by those variables.
fn differentiated(y: &Tensor, variables: &[&Var]) -> Vec<Tensor> {
    let sum = (y * random(77, y.dims())).unwrap().sum_all().unwrap();
    let gradients = sum.backward().unwrap();
    let gradient = |variable: &&Var| gradients.get(variable).expect("every variable has a gradient").clone();
    std::iter::once(y.detach()).chain(variables.iter().map(gradient)).collect()
}

fn check(story: &str, run: impl Fn(OpSet) -> Vec<Tensor>) {
    let (stock, fused) = (run(OpSet::Stock), run(OpSet::Fused));
    for (n, (stock, fused)) in stock.iter().zip(&fused).enumerate() {
        assert_eq!(stock.dims(), fused.dims(), "{story}, result {n}");
        let length = |x: &Tensor| x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
        let (apart, size) = (length(&(stock - fused).unwrap()), length(stock));
        assert!(size > 0.0 && apart < 1e-5 * size, "{story}, result {n}: {apart} of {size}");
    }
}

#[test]
fn convolutions_of_every_way_over_a_picture_are_the_same_in_both_sets() {
    for (kernel, stride, padding, [b, h, w], inputs, outputs) in [
        (3, 1, 1, [2, 5, 7], 12, 35),
        (3, 2, 1, [1, 6, 8], 8, 16),
        (3, 2, 0, [2, 9, 9], 4, 20),
        (1, 1, 0, [3, 3, 3], 40, 8),
        (1, 2, 0, [1, 5, 5], 4, 33),
        (5, 1, 2, [1, 4, 3], 4, 4),
    ] {
        for (ranks, dropout) in [(&[][..], 0.0), (&[3, 17][..], 0.0), (&[2][..], 0.4)] {
            let story =
                format!("kernel {kernel}, stride {stride}, padding {padding}, ranks {ranks:?}, {dropout}");
            check(&story, |set| {
                let kernel_shape = [outputs, inputs, kernel, kernel];
                let shapes: [(&str, &[usize]); 4] = [
                    ("conv.weight", &kernel_shape),
                    ("conv.bias", &[outputs]),
                    ("norm.weight", &[inputs]),
                    ("norm.bias", &[inputs]),
                ];
                let weights = weights(set, &shapes);
                let config = ConvConfig { kernel, stride, padding };
                let conv = Conv2d::load(&weights.pp("conv"), inputs, outputs, config).unwrap();
                let norm = GroupNorm::load(&weights.pp("norm"), inputs, 4, 1e-5).unwrap();
                let (mut adapters, of_adapters) = adapters(&weights.sites(), ranks);
                adapters.set_dropout(dropout, 5);
                let x = Var::from_tensor(&random(50, &[b, h, w, inputs])).unwrap();
                let plus = Var::from_tensor(&random(51, &[b, 1, 1, outputs])).unwrap();
                let y = conv.run(&x, Before::GroupSilu(&norm), Some(&plus), &adapters).unwrap();
                let variables: Vec<&Var> = [&x, &plus].into_iter().chain(&of_adapters).collect();
                differentiated(&y, &variables)
            });
        }
    }
}

#[test]
fn joined_projections_gates_and_residuals_are_the_same_in_both_sets() {
    for tokens in [1, 8, 21] {
        for ranks in [&[][..], &[4][..]] {
            check(&format!("{tokens} tokens, ranks {ranks:?}"), |set| {
                let shapes: [(&str, &[usize]); 6] = [
                    ("a.weight", &[18, 10]),
                    ("b.weight", &[18, 10]),
                    ("out.weight", &[10, 18]),
                    ("out.bias", &[10]),
                    ("norm.weight", &[10]),
                    ("norm.bias", &[10]),
                ];
                let weights = weights(set, &shapes);
                let joined = Linear::load_joined(&weights, &["a", "b"], 10, 18).unwrap();
                let out = Linear::load(&weights.pp("out"), 18, 10, true).unwrap();
                let norm = LayerNorm::load(&weights.pp("norm"), 10, 1e-5).unwrap();
                let (adapters, of_adapters) = adapters(&weights.sites(), ranks);
                let x = Var::from_tensor(&random(50, &[2, tokens, 10])).unwrap();
                let inner = joined.run(&x, Before::Layer(&norm), None, &adapters).unwrap();
                let y = out.run(&inner, Before::Geglu, Some(&x), &adapters).unwrap();
                let variables: Vec<&Var> = std::iter::once(&x).chain(&of_adapters).collect();
                differentiated(&y, &variables)
            });
        }
    }
}

#[test]
fn attention_norms_and_upsampling_are_the_same_in_both_sets() {
    let variable = |seed, shape: &[usize]| Var::from_tensor(&random(seed, shape)).unwrap();
    for (heads, n, m, channels) in [(1, 5, 9, 8), (4, 130, 7, 12), (2, 33, 33, 32)] {
        for causal in [false, true] {
            check(&format!("{heads} heads, {n} to {m}, causal {causal}"), |set| {
                let attend = Attend { causal: causal && n == m, ..Attend::new(heads, set) };
                let [q, kv] = [variable(1, &[2, n, channels]), variable(2, &[2, m, 2 * channels])];
                let [k, v] = [3, 4].map(|seed| variable(seed, &[2, m, channels]));
                let qkv = variable(5, &[2, n, 3 * channels]);
                let apart = differentiated(&attend.forward(&q, &k, &v).unwrap(), &[&q, &k, &v]);
                let packed = differentiated(&attend.to_packed(&q, &kv).unwrap(), &[&q, &kv]);
                let within = differentiated(&attend.packed(&qkv).unwrap(), &[&qkv]);
                [apart, packed, within].concat()
            });
        }
    }
    check("norms alone, upsampled", |set| {
        let shapes: [(&str, &[usize]); 2] = [("weight", &[24]), ("bias", &[24])];
        let weights = weights(set, &shapes);
        let group = GroupNorm::load(&weights, 24, 3, 1e-6).unwrap();
        let layer = LayerNorm::load(&weights, 24, 1e-5).unwrap();
        let x = variable(6, &[2, 3, 5, 24]);
        let y = layer.forward(&group.forward(&x, false).unwrap()).unwrap();
        // x twice, so that its gradients must add up.
        let y = (upsample_nearest(&y, set).unwrap() + upsample_nearest(&x, set).unwrap()).unwrap();
        differentiated(&y, &[&x])
    });
}

#[test]
fn what_does_not_fit_is_an_error_in_both_sets() {
    for set in [OpSet::Stock, OpSet::Fused] {
        let shapes: [(&str, &[usize]); 2] = [("weight", &[6, 4]), ("bias", &[6])];
        let weights = weights(set, &shapes);
        assert!(Linear::load(&weights, 5, 6, true).is_err());
        let linear = Linear::load(&weights, 4, 6, true).unwrap();
        assert!(linear.forward(&random(0, &[2, 3, 5]), &Adapters::none()).is_err());
        assert!(
            linear
                .run(&random(0, &[2, 3, 4]), Before::Nothing, Some(&random(0, &[2, 5, 6])), &Adapters::none())
                .is_err()
        );
        assert!(
            Attend::new(3, set)
                .forward(&random(0, &[1, 2, 4]), &random(1, &[1, 2, 4]), &random(2, &[1, 2, 4]))
                .is_err()
        );
        assert!(GroupNorm::load(&weights, 6, 4, 1e-5).is_err());
    }
}
