//! How loud speech is over time, a hundred times a second, and where there is any: what blinks, nods and the strength of
//! vowels go with. What is said, `spinbot_models::visemes` hears. Nothing here knows how a face moves.

use realfft::RealFftPlanner;

/// Frames of hearing a second.
pub(crate) const RATE: usize = 100;
const WINDOW_SECONDS: f32 = 0.025;
/// What counts as nothing, in dB.
const FLOOR: f32 = -100.0;

/// Curves over time, [`RATE`] values a second; value `i` is centred on `i / RATE` seconds.
pub(crate) struct Hearing {
    /// How loud the voice is from this clip's quiet (0) to its loud (1) syllables, 300-3500 Hz.
    pub(crate) loud: Vec<f32>,
    /// Whether there is speech at all, 0..=1.
    pub(crate) speech: Vec<f32>,
}

/// Band energies of one frame, in dB.
#[derive(Clone, Copy)]
struct Bands {
    voice: f32,
    hiss: f32,
}

impl Hearing {
    /// Listens to `samples` in -1..=1 at `rate` Hz.
    pub(crate) fn listen(samples: &[f32], rate: u32) -> Self {
        let bands = analyse(samples, rate);
        let voice: Vec<f32> = bands.iter().map(|b| b.voice).collect();
        let (quiet, top) = (percentile(&voice, 0.05).max(-85.0), percentile(&voice, 0.95));
        // At least 9 dB above the noise, at most 32 dB below the loudest.
        let threshold = (quiet + 9.0).max(top - 32.0).min(top - 6.0);
        let near = |x: f32, low: f32, high: f32| ((x - low) / (high - low)).clamp(0.0, 1.0);
        let active: Vec<f32> =
            bands.iter().map(|b| near(b.voice.max(b.hiss + 4.0), threshold - 2.0, threshold + 4.0)).collect();
        let heard: Vec<f32> = voice.iter().copied().filter(|voice| *voice > threshold + 3.0).collect();
        let (soft, strong) = (threshold - 1.0, percentile(&heard, 0.93).max(threshold + 8.0));
        let loud = voice.iter().map(|&v| near(v, soft, strong)).collect();
        Hearing { loud, speech: smooth(&active, 0.03) }
    }
}

fn analyse(samples: &[f32], rate: u32) -> Vec<Bands> {
    let rate_hz = rate.max(8000) as f32;
    let window = (WINDOW_SECONDS * rate_hz) as usize;
    let size = window.next_power_of_two();
    let fft = RealFftPlanner::<f32>::new().plan_fft_forward(size);
    let (mut input, mut output) = (fft.make_input_vec(), fft.make_output_vec());
    let hann: Vec<f32> = (0..window)
        .map(|k| 0.5 - 0.5 * (std::f32::consts::TAU * (k as f32 + 0.5) / window as f32).cos())
        .collect();
    let count = (samples.len() as f32 / rate_hz * RATE as f32).ceil() as usize + 1;
    let bin = |hz: f32| ((hz / rate_hz * size as f32) as usize).min(output.len());
    let edges = [(300.0, 3500.0), (4000.0, 8000.0)].map(|(low, high)| (bin(low), bin(high)));
    let mut all = Vec::with_capacity(count);
    for i in 0..count {
        let start = (i as f32 / RATE as f32 * rate_hz) as isize - (window / 2) as isize;
        input.fill(0.0);
        for (k, (slot, w)) in input.iter_mut().zip(&hann).enumerate() {
            let at = start + k as isize;
            *slot = usize::try_from(at).ok().and_then(|at| samples.get(at)).copied().unwrap_or(0.0) * w;
        }
        // The buffers are of the plan's own sizes, the one thing it can refuse.
        let done = fft.process(&mut input, &mut output).is_ok();
        let energy = |(low, high): (usize, usize)| {
            let sum: f32 = output[low..high].iter().map(|c| c.norm_sqr()).sum();
            if done { (10.0 * (sum / (window * window) as f32 + 1e-10).log10()).max(FLOOR) } else { FLOOR }
        };
        let [voice, hiss] = edges.map(energy);
        all.push(Bands { voice, hiss });
    }
    all
}

/// Smoothed by a Gaussian of `seconds` standard deviation, without delay.
pub(crate) fn smooth(values: &[f32], seconds: f32) -> Vec<f32> {
    let sigma = seconds * RATE as f32;
    let reach = (3.0 * sigma).ceil() as isize;
    let kernel: Vec<f32> = (-reach..=reach).map(|k| (-0.5 * (k as f32 / sigma).powi(2)).exp()).collect();
    let total: f32 = kernel.iter().sum();
    let last = values.len() as isize - 1;
    (0..values.len() as isize)
        .map(|i| {
            let sum: f32 =
                (-reach..=reach).zip(&kernel).map(|(k, w)| w * values[(i + k).clamp(0, last) as usize]).sum();
            sum / total
        })
        .collect()
}

/// The value below which `share` of `values` lie; [`FLOOR`] of none.
fn percentile(values: &[f32], share: f32) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let at = (share * sorted.len().saturating_sub(1) as f32).round() as usize;
    sorted.get(at).copied().unwrap_or(FLOOR)
}
