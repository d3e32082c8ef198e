//! What is heard in a recording, and how it is bettered: on readers' voices with damage of known size.

use crate::{reading, tone};
use spinbot_media::audio::{self, AudioCaps, Clip, Span};
use spinbot_media::{spectrogram, waveform};

/// White noise of unit power, the same for the same seed.
fn white(samples: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..samples).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

fn power(samples: &[f32]) -> f64 {
    samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64
}

fn mixed(clip: &Clip, noise: &[f32], gain: f64) -> Clip {
    Clip::new(clip.samples.iter().zip(noise).map(|(a, b)| a + gain as f32 * b).collect(), clip.rate)
}

/// Power of a clip's speech alone.
fn speech_power(clip: &Clip) -> f64 {
    let spans = clip.activity().unwrap().spans().to_vec();
    power(&spans.iter().flat_map(|span| clip.part(*span).samples).collect::<Vec<_>>())
}

/// Chords of six harmonics that fade, a new one each second.
fn chords(seconds: f64, rate: u32) -> Clip {
    let roots = [[261.6, 329.6, 392.0], [220.0, 261.6, 329.6], [174.6, 220.0, 261.6], [196.0, 246.9, 293.7]];
    let sample = |i: usize| {
        let t = i as f64 / f64::from(rate);
        let notes = roots[t as usize % roots.len()].iter();
        let partials = notes.flat_map(|root| (1..7).map(move |k| (root * f64::from(k), 1.0 / f64::from(k))));
        let sum: f64 = partials.map(|(hz, level)| level * (std::f64::consts::TAU * hz * t).sin()).sum();
        (0.05 * sum * (-0.8 * t.fract()).exp()) as f32
    };
    Clip::new((0..(seconds * f64::from(rate)) as usize).map(sample).collect(), rate)
}

#[test]
fn speech_is_found_between_silence_and_noise() {
    let voice = reading();
    let (joined, spans) =
        audio::join(&[Clip::silence(1.0, voice.rate), voice.clone(), Clip::silence(1.5, voice.rate)], 0.0)
            .unwrap();
    assert_eq!(spans.len(), 3);
    for gain in [0.0, 0.0003, 0.003] {
        let clip = mixed(&joined, &white(joined.samples.len(), 3), gain);
        let activity = clip.activity().unwrap();
        let whole = activity.whole(0.0).unwrap();
        let (from, to) = (1.0 + 0.0, 1.0 + voice.seconds());
        assert!(whole.start > from - 0.05 && whole.start < from + 0.8, "{gain}: {whole:?}");
        assert!(whole.end > to - 0.8 && whole.end < to + 0.05, "{gain}: {whole:?}");
        let share = activity.speech_seconds() / voice.seconds();
        assert!((0.6..1.0).contains(&share), "{gain}: {share}");
        let silence = 1.0 - activity.speech_seconds() / clip.seconds();
        assert!((activity.silence_share() - silence).abs() < 1e-9);
        assert!(activity.spans().windows(2).all(|w| w[1].start - w[0].end > 0.19), "{:?}", activity.spans());
    }
    let steady = [Clip::silence(3.0, 16_000), tone(440.0, 3.0, 16_000), Clip::new(white(48_000, 1), 16_000)];
    for (i, clip) in steady.iter().enumerate() {
        let activity = clip.activity().unwrap();
        assert!(activity.spans().is_empty() && activity.snr_db().is_none(), "{i}: {activity:?}");
        assert_eq!(activity.silence_share(), 1.0);
    }
    // Shorter than one window.
    assert!(Clip::new(vec![0.5; 20], 8_000).activity().unwrap().spans().is_empty());
    assert!(Clip::new(vec![], 8_000).activity().unwrap().whole(0.1).is_none());
}

#[test]
fn noise_of_known_level_is_measured() {
    let voice = reading();
    let own = voice.activity().unwrap().snr_db().unwrap();
    let speech = speech_power(&voice);
    for wanted in [0.0, 5.0, 10.0, 20.0, 30.0] {
        let noisy =
            mixed(&voice, &white(voice.samples.len(), 7), (speech / 10f64.powf(wanted / 10.0)).sqrt());
        // The recording's own noise comes on top.
        let truth = -10.0 * (10f64.powf(-own / 10.0) + 10f64.powf(-wanted / 10.0)).log10();
        let found = noisy.activity().unwrap().snr_db().unwrap();
        assert!((found - truth).abs() < 2.0, "{wanted} dB: found {found:.1} for {truth:.1}");
    }
}

#[test]
fn steady_noise_goes_and_leaves_no_large_chirps() {
    let voice = reading();
    let quiet = Clip::silence(0.6, voice.rate);
    let (clean, spans) = audio::join(&[quiet.clone(), voice, quiet], 0.0).unwrap();
    let gain = (speech_power(&clean) / 10f64.powf(0.5)).sqrt();
    let noisy = mixed(&clean, &white(clean.samples.len(), 5), gain);
    let denoised = noisy.denoised(&noisy.activity().unwrap()).unwrap();
    assert_eq!(denoised.samples.len(), noisy.samples.len());
    let error = |clip: &Clip| {
        let both = clip.samples.iter().zip(&clean.samples);
        power(&both.map(|(a, b)| a - b).collect::<Vec<_>>())
    };
    let better = 10.0 * (error(&noisy) / error(&denoised)).log10();
    assert!(better > 5.0, "nearer to the clean recording by {better:.1} dB");
    let pause = Span { start: 0.05, end: spans[0].end - 0.05 };
    let (before, after) = (noisy.part(pause), denoised.part(pause));
    let down = 10.0 * (power(&before.samples) / power(&after.samples)).log10();
    assert!((14.0..20.0).contains(&down), "{down:.1} dB");
    // Musical noise is seen as a kurtosis of short energies above that of the noise itself (Uemura et al., 2008).
    let kurtosis = |clip: &Clip| {
        let bands: Vec<f64> =
            (300..6000).step_by(100).flat_map(|hertz| band(clip, f64::from(hertz))).collect();
        let moment = |n: i32| bands.iter().map(|p| p.powi(n)).sum::<f64>() / bands.len() as f64;
        moment(4) / moment(2).powi(2)
    };
    let ratio = kurtosis(&after) / kurtosis(&before);
    assert!(ratio < 2.5, "kurtosis ratio {ratio:.2}");
    // Nothing to do, nothing done.
    let activity = clean.activity().unwrap();
    assert!(activity.snr_db().unwrap() > 32.0, "{:?}", activity.snr_db());
    assert_eq!(clean.denoised(&activity).unwrap(), clean);
}

/// Energy at one frequency in consecutive windows of 32 ms.
fn band(clip: &Clip, hertz: f64) -> Vec<f64> {
    let length = clip.rate as usize * 32 / 1000;
    let energy = |part: &[f32]| {
        let (mut re, mut im) = (0.0, 0.0);
        for (i, sample) in part.iter().enumerate() {
            let hann = 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / length as f64).cos();
            let phase = std::f64::consts::TAU * hertz * i as f64 / f64::from(clip.rate);
            re += hann * f64::from(*sample) * phase.cos();
            im += hann * f64::from(*sample) * phase.sin();
        }
        re * re + im * im
    };
    clip.samples.chunks_exact(length).map(energy).collect()
}

#[test]
fn music_is_told_from_a_voice_and_heard_under_one() {
    let voice = reading();
    assert!(voice.music_score().unwrap() < 0.1, "{:?}", voice.music_score());
    let music = chords(voice.seconds(), voice.rate);
    assert!(music.music_score().unwrap() > 0.9, "{:?}", music.music_score());
    let under = |decibels: f64| {
        let gain = (power(&voice.samples) / power(&music.samples) / 10f64.powf(decibels / 10.0)).sqrt();
        mixed(&voice, &music.samples, gain).music_score().unwrap()
    };
    let (loud, soft) = (under(10.0), under(20.0));
    assert!(loud > 0.7 && soft > 0.2 && soft < loud, "{loud} {soft}");
    let mut drums = Clip::silence(8.0, 16_000);
    for (beat, hit) in white(16 * 2_000, 9).chunks(2_000).enumerate() {
        for (i, sample) in hit.iter().enumerate() {
            drums.samples[beat * 8_000 + i] = 0.1 * sample * (-(i as f32) / 400.0).exp();
        }
    }
    assert!(drums.music_score().unwrap() > 0.9, "{:?}", drums.music_score());
    assert_eq!(Clip::new(white(80_000, 2), 16_000).music_score().unwrap(), 0.0);
    assert_eq!(Clip::new(vec![], 16_000).music_score().unwrap(), 0.0);
}

#[test]
fn clipping_is_measured_by_its_flat_tops() {
    let voice = reading();
    let driven = |decibels: f32| {
        let gain = 10f32.powf(decibels / 20.0) / voice.peak();
        let cut = voice.samples.iter().map(|s| (s * gain).clamp(-1.0, 1.0)).collect();
        let wav = audio::wav_bytes(&Clip::new(cut, voice.rate));
        audio::read_bytes(wav, "v", &AudioCaps::default()).unwrap().clipped_share()
    };
    let shares = [0.0, 3.0, 6.0, 10.0, 20.0].map(driven);
    assert!(shares[0] < 1e-4 && shares[2] > 0.002 && shares[3] > 0.01 && shares[4] > 0.1, "{shares:?}");
    assert!(shares.is_sorted(), "{shares:?}");
    assert_eq!(tone(440.0, 1.0, 48_000).clipped_share(), 0.0);
    // A quiet converter's few steps, and silence.
    assert_eq!(Clip::new(vec![0.001; 1000], 16_000).clipped_share(), 0.0);
    assert_eq!(Clip::silence(1.0, 16_000).clipped_share(), 0.0);
}

#[test]
fn an_offset_goes_and_nothing_moves() {
    let sine = tone(200.0, 1.0, 16_000);
    let offset = Clip::new(sine.samples.iter().map(|s| s + 0.3).collect(), 16_000);
    let back = offset.without_offset();
    let inner = 4_000..12_000;
    let mean = back.samples[inner.clone()].iter().sum::<f32>() / 8_000.0;
    assert!(mean.abs() < 1e-3, "{mean}");
    let worst = inner.map(|i| (back.samples[i] - sine.samples[i]).abs()).fold(0.0, f32::max);
    assert!(worst < 0.01, "{worst}");
}

#[test]
fn clips_are_joined_with_a_pause_and_without_a_click() {
    let (first, second) = (Clip::new(vec![0.5; 8_000], 16_000), Clip::new(vec![-0.5; 4_000], 16_000));
    let (joined, spans) = audio::join(&[first.clone(), second], 0.25).unwrap();
    assert_eq!(joined.samples.len(), 16_000);
    assert_eq!((spans[0].start, spans[0].end, spans[1].start, spans[1].end), (0.0, 0.5, 0.75, 1.0));
    let steepest = joined.samples.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
    assert!(steepest < 0.01, "{steepest}");
    assert!(audio::join(&[first, Clip::silence(1.0, 8_000)], 0.1).is_err());
    assert!(audio::join(&[], 0.1).unwrap().0.samples.is_empty());
}

#[test]
fn two_hours_are_refused_by_their_header() {
    // The header counts two hours; the bytes behind it would decode for half a second only.
    let mut bytes = audio::flac_bytes(&tone(440.0, 0.5, 16_000)).unwrap();
    let frames = 2u64 * 3600 * 16_000;
    bytes[22..26].copy_from_slice(&(frames as u32).to_be_bytes());
    bytes.resize(2_000_000, 0);
    let error = audio::read_bytes(bytes, "long.flac", &AudioCaps::default()).unwrap_err();
    assert_eq!(error.to_string(), "long.flac: the duration is 7200 s, more than the 600 s allowed");
    assert_eq!(error.help().unwrap(), "cut out the part that is needed");
}

#[test]
fn an_mp3_comes_back_as_long_as_loud_and_where_it_was() {
    let voice = reading().resampled(48_000).unwrap();
    for samples in [48_000, 100_000, 131_999, voice.samples.len()] {
        let sent = voice.fitted(samples);
        let back =
            audio::read_bytes(audio::mp3_bytes(&sent, 64).unwrap(), "m", &AudioCaps::default()).unwrap();
        // mpg123 gives back every sample; symphonia drops up to a frame at the end.
        assert_eq!(back.rate, 48_000);
        assert!(
            back.samples.len() <= samples && back.samples.len() + 1152 > samples,
            "{}",
            back.samples.len()
        );
        let error: Vec<f32> = sent.samples.iter().zip(&back.samples).map(|(a, b)| a - b).collect();
        let snr = 10.0 * (power(&sent.samples) / power(&error)).log10();
        assert!(snr > 24.0, "{samples}: {snr:.1} dB");
    }
}

#[test]
fn resampling_adds_nothing_that_is_heard() {
    for (from, to) in [(24_000, 48_000), (16_000, 24_000), (44_100, 24_000), (48_000, 16_000)] {
        for share in [0.01, 0.1, 0.3, 0.6, 0.8, 0.9] {
            let hertz = share * f64::from(from.min(to)) / 2.0;
            let (got, expected) = (tone(hertz, 1.0, from).resampled(to).unwrap(), tone(hertz, 1.0, to));
            let inner = to as usize / 10..to as usize * 9 / 10;
            let error: Vec<f32> = inner.clone().map(|i| got.samples[i] - expected.samples[i]).collect();
            let snr = 10.0 * (power(&expected.samples[inner]) / power(&error)).log10();
            assert!(snr > 96.0, "{from} -> {to}, {hertz} Hz: {snr:.0} dB");
        }
    }
}

#[test]
fn spectrograms_share_their_scales_and_stay_small() {
    let (low, high) = (tone(500.0, 2.0, 24_000), tone(4_000.0, 1.0, 24_000));
    let sheet = spectrogram::render(&[("low", &low), ("high", &high)]).unwrap();
    let bright = |from: u32, to: u32| -> Vec<u32> {
        let rows = sheet
            .enumerate_pixels()
            .filter(|(x, _, p)| (from..to).contains(x) && p.0[0] > 200 && p.0[0] > p.0[2].saturating_add(20));
        rows.map(|(_, y, _)| y).collect()
    };
    let (low_rows, high_rows) = (bright(80, 400), bright(450, 600));
    assert!(low_rows.iter().min() > high_rows.iter().max(), "higher is up");
    assert!(!low_rows.is_empty() && !high_rows.is_empty());
    // The second clip is half as long: the right half of its panel is paper.
    assert!(
        sheet
            .enumerate_pixels()
            .filter(|(x, y, _)| (660..800).contains(x) && (40..250).contains(y))
            .all(|(_, _, p)| p.0 == [255; 3])
    );
    let noise = Clip::new(white(24_000 * 20, 1), 24_000);
    let png = spectrogram::png(&[("a", &noise), ("b", &noise)]).unwrap();
    assert!(png.len() < 150_000, "{} bytes", png.len());
    // Its palette may cost the edges of letters their lowest bits.
    let (kept, drawn) = (
        image::load_from_memory(&png).unwrap(),
        spectrogram::render(&[("a", &noise), ("b", &noise)]).unwrap(),
    );
    assert!(crate::psnr(&kept.to_rgb8(), &drawn) > 38.0);
    for odd in [Clip::silence(1.0, 8_000), tone(440.0, 0.001, 8_000), tone(440.0, 200.0, 8_000)] {
        assert!(spectrogram::png(&[("odd", &odd)]).is_ok(), "{} s", odd.seconds());
    }
    assert!(spectrogram::png(&[]).is_err());
    assert!(spectrogram::png(&[("empty", &Clip::silence(0.0, 8_000))]).is_err());
}

#[test]
fn a_waveform_marks_words_and_thins_their_names() {
    let voice = reading();
    let words: Vec<(String, f64, f64)> =
        (0..60).map(|i| (format!("word{i}"), f64::from(i) * 0.08, f64::from(i) * 0.08 + 0.07)).collect();
    let spans: Vec<(&str, f64, f64)> = words.iter().map(|(w, a, b)| (w.as_str(), *a, *b)).collect();
    let (bare, marked) = (waveform::render(&voice, &[]).unwrap(), waveform::render(&voice, &spans).unwrap());
    assert_eq!(bare.width(), marked.width());
    assert!(marked.height() > bare.height());
    let ink = |row: u32| (0..900).map(|x| marked.get_pixel(x, row).0[0] < 90).collect::<Vec<_>>();
    // Between names there is paper: no run of inked columns is longer than a name.
    let columns: Vec<bool> = (0..900).map(|x| (8..26).any(|y| ink(y)[x])).collect();
    let longest = columns.split(|c| !c).map(<[bool]>::len).max().unwrap();
    assert!(columns.iter().filter(|c| **c).count() > 100 && longest < 60, "{longest}");
    assert!(waveform::png(&voice, &spans).unwrap().len() < 60_000);
    for odd in
        [("backwards", 2.0, 1.0), ("outside", 90.0, 99.0), ("whole", -1.0, 99.0), ("not", f64::NAN, 1.0)]
    {
        assert!(waveform::render(&voice, &[odd]).is_ok(), "{odd:?}");
    }
    assert!(waveform::render(&Clip::silence(0.0, 8_000), &[]).is_err());
    assert!(waveform::render(&tone(440.0, 0.001, 8_000), &[]).is_ok());
}
