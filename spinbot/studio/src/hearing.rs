//! What a mouth can be told from sound: energies in a few bands a hundred times a second, and where they say
//! vowel, fricative, closure or silence. Nothing here knows how a face moves.

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
    /// Hiss: energy above 4 kHz without a vowel below, 0..=1.
    pub(crate) hiss: Vec<f32>,
    /// From rounded (-1) over neutral to spread (1) vowels, by where the second formant lies in this clip.
    pub(crate) front: Vec<f32>,
    /// Open vowels (1) against close ones (0), by the height of the first formant in this clip.
    pub(crate) open: Vec<f32>,
    /// Lips shut: dips of 40-150 ms between voiced parts, 0..=1.
    pub(crate) closure: Vec<f32>,
}

/// Band energies of one frame, in dB.
#[derive(Clone, Copy)]
struct Bands {
    voice: f32,
    first_low: f32,
    first_high: f32,
    back: f32,
    front: f32,
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
        let speech = smooth(&active, 0.03);
        let voiced: Vec<usize> = (0..bands.len()).filter(|&i| voice[i] > threshold + 3.0).collect();
        let over = |value: &dyn Fn(&Bands) -> f32| -> Vec<f32> {
            let heard: Vec<f32> = voiced.iter().map(|&i| value(&bands[i])).collect();
            let (low, high) = (percentile(&heard, 0.10), percentile(&heard, 0.90));
            bands.iter().map(|b| near(value(b), low, high.max(low + 3.0))).collect()
        };
        let heard: Vec<f32> = voiced.iter().map(|&i| voice[i]).collect();
        let (soft, strong) = (threshold - 1.0, percentile(&heard, 0.93).max(threshold + 8.0));
        let loud = voice.iter().map(|&v| near(v, soft, strong)).collect();
        let hiss: Vec<f32> =
            bands.iter().zip(&active).map(|(b, a)| near(b.hiss - b.voice, -6.0, 4.0) * a).collect();
        let front = over(&|b| b.front - b.back);
        let front: Vec<f32> = front
            .iter()
            .zip(bands.iter().zip(&hiss))
            .map(|(f, (b, h))| (2.0 * f - 1.0) * near(b.voice, threshold, threshold + 6.0) * (1.0 - h))
            .collect();
        let open = smooth(&over(&|b| b.first_high - b.first_low), 0.03);
        let closure = closures(&bands, threshold);
        Hearing { loud, speech, hiss: smooth(&hiss, 0.012), front: smooth(&front, 0.045), open, closure }
    }
}

/// Dips of the voice that lips make: 40-150 ms, well below both sides, without hiss in them, and let go without
/// the sharp burst of a tongue.
fn closures(bands: &[Bands], threshold: f32) -> Vec<f32> {
    let n = bands.len();
    let mut out = vec![0.0_f32; n];
    let side = 9;
    for i in side..n.saturating_sub(side) {
        let here = bands[i].voice;
        let around =
            |range: std::ops::Range<usize>| bands[range].iter().map(|b| b.voice).fold(FLOOR, f32::max);
        let (before, after) = (around(i - side..i), around(i + 1..i + side + 1));
        let least = bands[i - 2..i + 3].iter().map(|b| b.voice).fold(f32::MAX, f32::min);
        let depth = before.min(after) - here;
        if here > least || before.min(after) < threshold + 6.0 || depth < 11.0 {
            continue;
        }
        let hissing = bands[i].hiss > here + 2.0 && bands[i].hiss > threshold - 8.0;
        let burst = bands[i + 1..i + 5].iter().map(|b| b.hiss - b.voice).fold(FLOOR, f32::max);
        let tongue = ((burst + 8.0) / 10.0).clamp(0.0, 1.0);
        if hissing {
            continue;
        }
        // As long as the voice stays in the lower part of the dip.
        let low = here + 0.4 * depth;
        let from = (1..=side).take_while(|&k| bands[i - k].voice < low).count();
        let to = (1..=side).take_while(|&k| bands[i + k].voice < low).count();
        if from + to > 15 {
            continue;
        }
        let strength = ((depth - 9.0) / 8.0).min(1.0) * (1.0 - 0.85 * tongue);
        // A frame of video must fit in.
        let (from, to) = (from.max(3), to.max(3));
        for slot in &mut out[i - from..(i + to + 1).min(n)] {
            *slot = slot.max(strength);
        }
    }
    smooth(&out, 0.012)
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
    let edges = [
        (300.0, 3500.0),
        (200.0, 480.0),
        (520.0, 1100.0),
        (300.0, 1100.0),
        (1500.0, 3500.0),
        (4000.0, 8000.0),
    ]
    .map(|(low, high)| (bin(low), bin(high)));
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
        let [voice, first_low, first_high, back, front, hiss] = edges.map(energy);
        all.push(Bands { voice, first_low, first_high, back, front, hiss });
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
