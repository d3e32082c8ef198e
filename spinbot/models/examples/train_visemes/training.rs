//! The training: a batch is a function of seed and step, everything else lies in one checkpoint.

use crate::material::{CROP, Crop, Material, STEPS, clips};
use crate::scores;
use candle_core::{D, Device, Result, Tensor, Var};
use candle_nn::ops::log_softmax;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use spinbot_models::visemes::{MELS, Network, STACK, Viseme};
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

const SEED: u64 = 20_251_201;
const BATCH: usize = 16;
/// Steps until all clips are heard at other speeds.
const ROUND: usize = 250;
const RATE: f64 = 2e-3;
const WARMING: usize = 100;
const DECAY: f64 = 0.02;
const BETAS: (f64, f64) = (0.9, 0.98);
/// The most that the gradients of a step may be long.
const LONGEST: f64 = 1.0;
/// How much an error of the jaw counts beside one of the viseme.
const JAW: f64 = 4.0;
/// How many of a block's numbers are left out while it learns.
const DROPPED: f64 = 0.1;
/// Steps between checkpoints.
const KEPT: usize = 100;

/// Weights with their moments, by name.
struct State {
    names: Vec<String>,
    variables: Vec<Var>,
    moments: Vec<[Tensor; 2]>,
    step: usize,
}

impl State {
    /// Random weights of unit gain; what blocks add begins at zero.
    fn new() -> State {
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let (mut names, mut variables, mut moments) = (Vec::new(), Vec::new(), Vec::new());
        for (name, shape) in Network::shapes() {
            let spread =
                match (name.ends_with("weight"), name.ends_with("back.weight"), name.starts_with("last")) {
                    (true, false, false) => (2.0 / shape[0] as f32).sqrt(),
                    (true, false, true) => (1.0 / shape[0] as f32).sqrt() * 0.3,
                    _ => 0.0,
                };
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count)
                .map(|_| {
                    let x: f32 = StandardNormal.sample(&mut random);
                    x * spread
                })
                .collect();
            let start = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
            moments.push([start.zeros_like().unwrap(), start.zeros_like().unwrap()]);
            variables.push(Var::from_tensor(&start).unwrap());
            names.push(name);
        }
        State { names, variables, moments, step: 0 }
    }

    /// As it was kept, or from the beginning.
    fn open(place: &Path) -> State {
        let mut state = State::new();
        if let Ok(kept) = candle_core::safetensors::load(place, &Device::Cpu) {
            for ((name, variable), moments) in
                state.names.iter().zip(&state.variables).zip(&mut state.moments)
            {
                variable.set(&kept[name]).unwrap();
                *moments = [kept[&format!("mean.{name}")].clone(), kept[&format!("square.{name}")].clone()];
            }
            state.step = kept["step"].to_vec1::<i64>().unwrap()[0] as usize;
        }
        state
    }

    fn keep(&self, place: &Path) {
        let mut all =
            HashMap::from([("step".to_owned(), Tensor::new(&[self.step as i64], &Device::Cpu).unwrap())]);
        for ((name, variable), [mean, square]) in self.names.iter().zip(&self.variables).zip(&self.moments) {
            all.insert(name.clone(), variable.as_tensor().clone());
            all.insert(format!("mean.{name}"), mean.clone());
            all.insert(format!("square.{name}"), square.clone());
        }
        let new = place.with_extension("new");
        candle_core::safetensors::save(&all, &new).unwrap();
        std::fs::rename(new, place).unwrap();
    }

    /// The network as it stands.
    fn network(&self) -> Network {
        let mut tensors = self.variables.iter();
        Network::new(|_| Ok(tensors.next().unwrap().as_tensor().clone())).unwrap()
    }

    /// AdamW (Loshchilov and Hutter 2019), its gradients cut to a length.
    fn descend(&mut self, loss: &Tensor, rate: f64) -> Result<f64> {
        let gradients = loss.backward()?;
        let squares = self.variables.iter().filter_map(|variable| gradients.get(variable));
        let squares = squares.map(|gradient| gradient.sqr()?.sum_all()?.to_scalar::<f32>());
        let length = f64::from(squares.sum::<Result<f32>>()?).sqrt();
        let cut = (LONGEST / length).min(1.0);
        self.step += 1;
        let full = [BETAS.0, BETAS.1].map(|beta| 1.0 - beta.powi(self.step as i32));
        for (variable, [mean, square]) in self.variables.iter().zip(&mut self.moments) {
            let Some(gradient) = gradients.get(variable) else { continue };
            let gradient = (gradient.detach() * cut)?;
            *mean = ((&*mean * BETAS.0)? + (&gradient * (1.0 - BETAS.0))?)?.detach();
            *square = ((&*square * BETAS.1)? + (gradient.sqr()? * (1.0 - BETAS.1))?)?.detach();
            let change = ((&*mean / full[0])? / ((&*square / full[1])?.sqrt()? + 1e-8)?)?;
            let decay = if variable.rank() > 1 { 1.0 - rate * DECAY } else { 1.0 };
            variable.set(&((variable.as_tensor().detach() * decay)? - (change * rate)?)?)?;
        }
        Ok(length)
    }
}

/// How far a batch is from what was said: visemes and jaw.
fn losses(network: &Network, crops: &[Crop], random: &mut ChaCha8Rng) -> Result<(Tensor, Tensor)> {
    let device = &Device::Cpu;
    let features: Vec<f32> = crops.iter().flat_map(|crop| crop.features.iter().copied()).collect();
    let features = Tensor::from_vec(features, (crops.len(), STEPS, MELS * STACK), device)?;
    let (blocks, width) = Network::blocks();
    let mut kept = || {
        let one = |_| if random.random_bool(DROPPED) { 0.0 } else { (1.0 / (1.0 - DROPPED)) as f32 };
        let values: Vec<f32> = (0..crops.len() * width).map(one).collect();
        Tensor::from_vec(values, (crops.len(), 1, width), device)
    };
    let kept = (0..blocks).map(|_| kept()).collect::<Result<Vec<_>>>()?;
    let answers = network.forward(&features, Some(&kept))?.reshape((crops.len() * CROP, ()))?;
    let mouths = || crops.iter().flat_map(|crop| &crop.mouths);
    let visemes: Vec<u32> = mouths().map(|mouth| mouth.viseme as u32).collect();
    let visemes = Tensor::from_vec(visemes, (crops.len() * CROP, 1), device)?;
    let jaws: Vec<f32> = mouths().map(|mouth| mouth.jaw).collect();
    let jaws = Tensor::from_vec(jaws, crops.len() * CROP, device)?;
    let shares = log_softmax(&answers.narrow(1, 0, Viseme::ALL.len())?, D::Minus1)?;
    let viseme = shares.gather(&visemes, 1)?.mean_all()?.neg()?;
    let jaw = (answers.narrow(1, Viseme::ALL.len(), 1)?.squeeze(1)? - jaws)?.sqr()?.mean_all()?;
    Ok((viseme, jaw))
}

/// The rate rises, then falls along half a cosine.
fn rate(step: usize, steps: usize) -> f64 {
    let rising = (step + 1) as f64 / WARMING as f64;
    let along = step as f64 / steps as f64;
    RATE * rising.min(1.0) * (0.5 + 0.5 * (std::f64::consts::PI * along).cos()).max(0.002)
}

/// Learns from the clips of `folder` until `steps` are done, and writes the weights as f16.
pub fn train(folder: &Path, steps: usize, out: &Path) {
    let place = folder.join("checkpoint.safetensors");
    let mut state = State::open(&place);
    let learned = clips(folder, "learned-");
    let seconds: usize = learned.iter().map(|clip| clip.samples.len() / 16_000).sum();
    println!("{} clips, {seconds} s; from step {}", learned.len(), state.step);
    let mut round = None;
    let (mut sums, mut began) = ([0.0; 3], Instant::now());
    while state.step < steps {
        let seed = SEED + (state.step / ROUND) as u64;
        let material = match round.take() {
            Some((of, material)) if of == seed => material,
            _ => Material::new(&learned, seed),
        };
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        random.set_stream(state.step as u64 + 1);
        let crops: Vec<Crop> = (0..BATCH).map(|_| material.crop(&mut random)).collect();
        round = Some((seed, material));
        let (viseme, jaw) = losses(&state.network(), &crops, &mut random).unwrap();
        let loss = (&viseme + (&jaw * JAW).unwrap()).unwrap();
        let length = state.descend(&loss, rate(state.step, steps)).unwrap();
        for (sum, value) in sums.iter_mut().zip([viseme, jaw]) {
            *sum += f64::from(value.to_scalar::<f32>().unwrap()) / KEPT as f64;
        }
        sums[2] += length / KEPT as f64;
        if state.step % KEPT == 0 || state.step == steps {
            state.keep(&place);
            let took = began.elapsed().as_secs_f64();
            println!(
                "step {}: visemes {:.3}, jaw {:.4}, gradient {:.2}, {took:.0} s",
                state.step, sums[0], sums[1], sums[2]
            );
            (sums, began) = ([0.0; 3], Instant::now());
        }
        if state.step % (5 * KEPT) == 0 || state.step == steps {
            write(&state, out);
            scores::held_out(folder, out);
        }
    }
}

fn write(state: &State, out: &Path) {
    let halves = |variable: &Var| variable.as_tensor().to_dtype(candle_core::DType::F16).unwrap();
    let all: HashMap<String, Tensor> =
        state.names.iter().cloned().zip(state.variables.iter().map(halves)).collect();
    candle_core::safetensors::save(&all, out).unwrap();
}
