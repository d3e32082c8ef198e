//! Stock against fused: values and gradients on random tensors of odd sizes.
#![allow(clippy::unwrap_used)]

use super::*;
use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

fn random(random: &mut ChaCha8Rng, shape: &[usize], spread: f32) -> Tensor {
    let normal = |_| -> f32 {
        let normal: f32 = StandardNormal.sample(random);
        normal * spread
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(normal).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// How far `a` is from `b`, as a share of b's size; what is nearly zero counts as zero.
fn error(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (values(a), values(b));
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let apart = square(&mut a.iter().zip(&b).map(|(a, b)| f64::from(a - b)));
    (apart / (square(&mut b.iter().map(|b| f64::from(*b))) + 1e-4 * b.len() as f64)).sqrt()
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Nothing,
    Leaky,
    NormLeaky,
    NormSnake,
}

#[derive(Debug, Clone, Copy)]
struct Case {
    rows: usize,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    dilation: usize,
    padding: usize,
    rank: usize,
    kind: Kind,
    residual: bool,
    bias: bool,
    seed: u64,
}

/// The output, and the gradients of its weighted sum by input, style, A, B and residual, those that there are.
fn run(case: Case, set: OpSet) -> (Tensor, Vec<(&'static str, Tensor)>) {
    let mut r = ChaCha8Rng::seed_from_u64(case.seed);
    let Case { rows, inputs, outputs, kernel, dilation, padding, rank, .. } = case;
    let spread = 1.0 / ((inputs * kernel) as f32).sqrt();
    let weight = random(&mut r, &[outputs, inputs, kernel], spread);
    let bias = random(&mut r, &[outputs], 0.3);
    let conv = Conv::new(set, &weight, case.bias.then_some(&bias), dilation, padding).unwrap();
    let alpha = random(&mut r, &[1, inputs, 1], 1.0);
    // As in the network, some frequencies are nearly zero, some negative.
    let alpha = (alpha + 1e-4).unwrap();
    let snake = Snake::new(&alpha).unwrap();
    let variable = |tensor: Tensor| Var::from_tensor(&tensor).unwrap();
    let x = variable((random(&mut r, &[rows, inputs], 1.5) + 0.7).unwrap());
    let style = variable(random(&mut r, &[2 * inputs], 0.4));
    let down = variable(random(&mut r, &[rank.max(1), inputs * kernel], spread));
    let up = variable(random(&mut r, &[outputs, rank.max(1)], 0.3));
    let out_rows = (rows + 2 * padding) - (kernel - 1) * dilation;
    let residual = variable(random(&mut r, &[out_rows, outputs], 1.0));
    let low_rank = LowRank { down: down.as_tensor().clone(), up: up.as_tensor().clone() };
    let before = match case.kind {
        Kind::Nothing => Before::Nothing,
        Kind::Leaky => Before::Leaky { scale: 0.4, slope: 0.1 },
        Kind::NormLeaky => Before::Norm(&style, Then::Leaky(0.2)),
        Kind::NormSnake => Before::Norm(&style, Then::Snake(&snake)),
    };
    let target = if case.residual { Target::Plus(residual.as_tensor().clone()) } else { Target::New };
    let y = conv.run(&x, before, (rank > 0).then_some(&low_rank), target).unwrap();
    let weights = random(&mut r, y.dims(), 1.0);
    let grads = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
    let wanted = [("x", &x), ("style", &style), ("A", &down), ("B", &up), ("residual", &residual)];
    let grads = wanted.into_iter().filter_map(|(name, v)| Some((name, grads.get(v)?.clone()))).collect();
    (y, grads)
}

fn compare(case: Case) {
    let ((stock, stock_grads), (fused, fused_grads)) = (run(case, OpSet::Stock), run(case, OpSet::Fused));
    let off = error(&fused, &stock);
    assert!(off < 1e-5, "{case:?}: the values are {off} apart");
    let names = |grads: &[(&'static str, Tensor)]| grads.iter().map(|grad| grad.0).collect::<Vec<_>>();
    assert_eq!(names(&fused_grads), names(&stock_grads), "{case:?}");
    let normed = matches!(case.kind, Kind::NormLeaky | Kind::NormSnake);
    let expected = 1 + usize::from(normed) + 2 * usize::from(case.rank > 0) + usize::from(case.residual);
    assert_eq!(stock_grads.len(), expected, "{case:?}");
    for ((name, fused), (_, stock)) in fused_grads.iter().zip(&stock_grads) {
        let off = error(fused, stock);
        assert!(off < 1e-4, "{case:?}: the gradients by {name} are {off} apart");
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Nothing), Just(Kind::Leaky), Just(Kind::NormLeaky), Just(Kind::NormSnake)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn fused_convolutions_equal_stock_ones_in_values_and_gradients(
        (rows, inputs, outputs) in (4..70_usize, 1..40_usize, 1..40_usize),
        (kernel, dilation, padding) in (1..8_usize, 1..6_usize, 0..9_usize),
        rank in 0..4_usize,
        kind in kinds(),
        (residual, bias) in any::<(bool, bool)>(),
        seed in any::<u64>(),
    ) {
        prop_assume!(rows + 2 * padding > (kernel - 1) * dilation);
        compare(Case { rows, inputs, outputs, kernel, dilation, padding, rank, kind, residual, bias, seed });
    }
}

#[test]
fn many_blocks_give_what_one_gives() {
    for (rows, inputs, outputs, kernel, dilation, rank, kind) in [
        (6603, 14, 16, 11, 5, 2, Kind::NormSnake),
        (2603, 24, 16, 7, 3, 0, Kind::NormSnake),
        (1500, 130, 40, 3, 1, 0, Kind::NormLeaky),
        (1100, 520, 33, 1, 1, 1, Kind::NormSnake),
        (5, 600, 70, 3, 1, 2, Kind::Leaky),
    ] {
        let padding = dilation * (kernel - 1) / 2;
        let case = Case {
            rows,
            inputs,
            outputs,
            kernel,
            dilation,
            padding,
            rank,
            kind,
            residual: true,
            bias: true,
            seed: rows as u64,
        };
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let three = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        one.install(|| compare(case));
        three.install(|| compare(case));
    }
}

#[test]
fn transposed_convolutions_equal_those_of_candle() {
    let mut r = ChaCha8Rng::seed_from_u64(3);
    for (rows, inputs, outputs, stride) in [(1, 3, 2, 2), (7, 5, 4, 6), (40, 16, 8, 10)] {
        let weight = random(&mut r, &[inputs, outputs, 2 * stride], 0.3);
        let bias = random(&mut r, &[outputs], 0.3);
        let x = random(&mut r, &[rows, inputs], 1.0);
        let channels_first = x.t().unwrap().unsqueeze(0).unwrap().contiguous().unwrap();
        let expected = channels_first.conv_transpose1d(&weight, stride / 2, 0, stride, 1, 1).unwrap();
        let expected = expected.squeeze(0).unwrap().t().unwrap().broadcast_add(&bias).unwrap();
        for set in [OpSet::Stock, OpSet::Fused] {
            let conv = Conv::transposed(set, &weight, &bias, stride).unwrap();
            let y = conv.run(&x, Before::Nothing, None, Target::New).unwrap();
            let y = unfold_transposed(&y, rows, stride).unwrap();
            assert!(error(&y, &expected) < 1e-5, "{set:?} {rows} {stride}");
        }
    }
}

#[test]
fn memory_is_reused_only_where_no_gradient_is_wanted() {
    let mut r = ChaCha8Rng::seed_from_u64(4);
    let x = random(&mut r, &[30, 6], 1.0);
    let weight = random(&mut r, &[6, 6, 3], 0.4);
    for set in [OpSet::Stock, OpSet::Fused] {
        let conv = Conv::new(set, &weight, None, 1, 1).unwrap();
        let run = |target| conv.run(&x, Before::Leaky { scale: 1.0, slope: 0.2 }, None, target).unwrap();
        let (fresh, residual) = (run(Target::New), random(&mut r, &[30, 6], 1.0));
        let sum = (&fresh + &residual).unwrap();
        assert!(error(&run(Target::Over(residual.copy().unwrap())), &fresh) < 1e-6);
        assert!(error(&run(Target::Onto(residual.copy().unwrap())), &sum) < 1e-6);
        let before = residual.copy().unwrap();
        assert!(error(&run(Target::Plus(residual.clone())), &sum) < 1e-6);
        assert_eq!(values(&residual), values(&before), "{set:?}");
        let variable = Var::from_tensor(&residual).unwrap();
        assert!(error(&run(Target::Onto(variable.as_tensor().clone())), &sum) < 1e-6);
        assert!(error(&accumulate(variable.as_tensor().clone(), &fresh).unwrap(), &sum) < 1e-6);
        assert_eq!(values(&variable), values(&before), "{set:?}");
        assert!(error(&accumulate(before, &fresh).unwrap(), &sum) < 1e-6);
    }
}

#[test]
fn merged_adapters_and_shifted_biases_act_as_when_they_were_apart() {
    let mut r = ChaCha8Rng::seed_from_u64(5);
    let x = random(&mut r, &[50, 9], 1.0);
    let (weight, bias) = (random(&mut r, &[7, 9, 5], 0.2), random(&mut r, &[7], 0.2));
    let adapter = LowRank { down: random(&mut r, &[3, 45], 0.2), up: random(&mut r, &[7, 3], 0.5) };
    let by = random(&mut r, &[7], 1.0);
    for set in [OpSet::Stock, OpSet::Fused] {
        for bias in [Some(&bias), None] {
            let mut conv = Conv::new(set, &weight, bias, 2, 4).unwrap();
            let apart = conv.run(&x, Before::Nothing, Some(&adapter), Target::New).unwrap();
            let apart = apart.broadcast_add(&by).unwrap();
            let kept = conv.clone();
            let plain = conv.run(&x, Before::Nothing, None, Target::New).unwrap();
            conv.merge(&adapter).unwrap();
            conv.shift(&by).unwrap();
            let merged = conv.run(&x, Before::Nothing, None, Target::New).unwrap();
            assert!(error(&merged, &apart) < 1e-5, "{set:?}");
            assert!(error(&merged, &plain) > 0.1, "{set:?}: the adapter does nothing");
            let still = kept.run(&x, Before::Nothing, None, Target::New).unwrap();
            assert_eq!(values(&still), values(&plain), "{set:?}: a clone was changed too");
        }
    }
}

#[test]
fn what_is_not_tracked_has_no_graph() {
    let conv =
        Conv::new(OpSet::Fused, &Tensor::ones((2, 2, 1), DType::F32, &Device::Cpu).unwrap(), None, 1, 0);
    let x = Tensor::ones((3, 2), DType::F32, &Device::Cpu).unwrap();
    let y = conv.unwrap().run(&x, Before::Nothing, None, Target::New).unwrap();
    assert!(!y.track_op());
    assert_eq!(values(&y), [2.0; 6]);
}

#[test]
fn the_sine_is_right_to_the_last_bits_with_and_without_fused_products() {
    let mut worst = [0.0_f64; 2];
    for n in -400_000..400_000 {
        let x = n as f32 * 7.3e-4;
        let exact = f64::from(x).sin();
        let both = [simd::sine::<true>(x), simd::sine::<false>(x)];
        for (worst, sine) in worst.iter_mut().zip(both) {
            *worst = worst.max((f64::from(sine) - exact).abs());
        }
    }
    assert!(worst[0] < 2e-7 && worst[1] < 4e-7, "{worst:?}");
}

#[test]
fn statistics_survive_a_mean_far_from_zero() {
    let mut r = ChaCha8Rng::seed_from_u64(6);
    let noise = random(&mut r, &[3000, 2], 0.1);
    let x = values(&(noise.clone() + 100.0).unwrap());
    let found = norm::statistics(&x, 2);
    for c in 0..2 {
        let channel: Vec<f64> = x.iter().skip(c).step_by(2).map(|v| f64::from(*v)).collect();
        let mean = channel.iter().sum::<f64>() / 3000.0;
        let variance = channel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3000.0;
        assert!((f64::from(found.mean[c]) - mean).abs() < 1e-4);
        let expected = 1.0 / (variance + 1e-5).sqrt();
        assert!((f64::from(found.inverse_deviation[c]) / expected - 1.0).abs() < 1e-4);
    }
}
