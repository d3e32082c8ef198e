//! Clips of a voice, read or refused, and speech written in the formats there are.

use crate::chain::{Chain, Told, fixture};
use spinbot::steps::{EncodeSpeech, ReadClips};
use spinbot_media::audio::{self, AudioCaps, Clip, wav_bytes};
use spinbot_studio::{Clips, StepError, StepOutput};
use std::path::PathBuf;

fn reading(number: u32) -> PathBuf {
    fixture(&format!("voices/1688-142285-000{number}.flac"))
}

fn heard(path: &std::path::Path) -> Clip {
    audio::read(path, "voice", &AudioCaps::default()).unwrap()
}

fn output<'a>(outputs: &'a [StepOutput], name: &str) -> &'a [u8] {
    &outputs.iter().find(|output| output.name == name).unwrap().bytes
}

#[test]
fn clips_are_trimmed_evened_and_joined_in_their_order() {
    let chain = Chain::new("read_clips");
    // The second is quiet, at another rate and has silence around it.
    let second = heard(&reading(2)).resampled(44_100).unwrap().normalized(-40.0, -1.0).unwrap();
    let quiet = Clip::silence(2.0, 44_100);
    let (second, _) = audio::join(&[quiet.clone(), second, quiet], 0.0).unwrap();
    std::fs::write(chain.path("second.wav"), wav_bytes(&second)).unwrap();
    let inputs = [("clip2", chain.path("second.wav")), ("clip1", reading(3))];
    let mut told = Told::default();
    let outputs = chain.attempt(&ReadClips { denoise: false }, &inputs, &mut told).unwrap();
    assert_eq!(told.progress, [(1.0, 2.0), (2.0, 2.0)]);
    let speech = audio::read_bytes(output(&outputs, "speech").to_vec(), "s", &AudioCaps::default()).unwrap();
    assert_eq!(speech.rate, 24_000);
    let found: Clips = serde_json::from_slice(output(&outputs, "clips")).unwrap();
    assert!((found.seconds - speech.seconds()).abs() < 1e-3);
    let labels: Vec<&str> = found.clips.iter().map(|clip| clip.label.as_str()).collect();
    assert_eq!(labels, ["1688-142285-0003.flac", "second.wav"]);
    for clip in &found.clips {
        let part = speech.part(audio::Span { start: clip.start, end: clip.end });
        let loudness = part.loudness().unwrap();
        assert!((loudness + 23.0).abs() < 1.0, "{}: {loudness:.1} LUFS", clip.label);
        assert!(clip.speech_seconds > 1.0 && clip.speech_seconds <= clip.end - clip.start, "{clip:?}");
        assert!(clip.snr_db > 25.0 && clip.music_score < 0.1 && clip.clipped_share < 1e-4, "{clip:?}");
        assert!(clip.warnings.is_empty(), "{clip:?}");
    }
    assert_eq!(found.clips[0].start, 0.0);
    assert!((found.clips[1].start - found.clips[0].end - 0.2).abs() < 1e-6, "{:?}", found.clips);
    assert!(
        found.clips[1].seconds > 6.5 && found.clips[1].end - found.clips[1].start < 3.5,
        "{:?}",
        found.clips
    );
}

#[test]
fn noise_is_warned_of_and_taken_out_where_asked() {
    let chain = Chain::new("noisy_clip");
    let voice = heard(&reading(3));
    let noisy = Clip::new(
        voice.samples.iter().zip(noise(voice.samples.len())).map(|(a, b)| a + 0.025 * b).collect(),
        voice.rate,
    );
    std::fs::write(chain.path("noisy.wav"), wav_bytes(&noisy)).unwrap();
    let run = |denoise: bool| {
        let inputs = [("clip1", chain.path("noisy.wav"))];
        let outputs = chain.attempt(&ReadClips { denoise }, &inputs, &mut Told::default()).unwrap();
        let speech =
            audio::read_bytes(output(&outputs, "speech").to_vec(), "s", &AudioCaps::default()).unwrap();
        let found: Clips = serde_json::from_slice(output(&outputs, "clips")).unwrap();
        (speech.activity().unwrap().snr_db().unwrap(), found)
    };
    let ((noisy, found), (denoised, _)) = (run(false), run(true));
    assert!(denoised > noisy + 10.0, "{noisy:.1} dB, then {denoised:.1} dB");
    let warning = &found.clips[0].warnings;
    assert!(warning.len() == 1 && warning[0].contains("above the noise"), "{found:?}");
}

/// White noise of about unit power.
fn noise(samples: usize) -> impl Iterator<Item = f32> {
    let mut state = 1u64;
    std::iter::repeat_with(move || {
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        (0..12).map(|_| uniform()).sum::<f32>() - 6.0
    })
    .take(samples)
}

#[test]
fn clips_no_voice_can_be_learnt_from_are_refused_in_a_sentence() {
    let chain = Chain::new("bad_clips");
    let save = |name: &str, clip: &Clip| -> PathBuf {
        std::fs::write(chain.path(name), wav_bytes(clip)).unwrap();
        chain.path(name)
    };
    let voice = heard(&reading(3));
    let changed = |change: &dyn Fn(usize, f32) -> f32| {
        let samples = voice.samples.iter().enumerate().map(|(i, s)| change(i, *s)).collect();
        Clip::new(samples, voice.rate)
    };
    let hiss: Vec<f32> = noise(voice.samples.len()).collect();
    let tone = |i: usize, hertz: f32| (std::f32::consts::TAU * hertz * i as f32 / voice.rate as f32).sin();
    let chord =
        |i: usize| [262.0, 330.0, 392.0, 524.0, 660.0, 784.0].iter().map(|hz| tone(i, *hz)).sum::<f32>();
    let part = |start: f64, end: f64| voice.part(audio::Span { start, end });
    let many: Vec<Clip> = std::iter::repeat_n(voice.clone(), 16).collect();
    let mut cases = vec![
        (save("mute.wav", &Clip::silence(5.0, 16_000)), "mute.wav: the recording is silent"),
        (save("hiss.wav", &changed(&|i, _| 0.05 * hiss[i])), "hiss.wav: there is no speech in it"),
        (save("second.wav", &part(1.0, 2.0)), "second.wav: holds "),
        (save("blip.wav", &part(1.0, 1.05)), "blip.wav: the duration is 0.05 s, less than the 0.10 s needed"),
        (save("loud.wav", &changed(&|_, s| (30.0 * s).clamp(-1.0, 1.0))), "loud.wav: is clipped: "),
        (save("train.wav", &changed(&|i, s| s + 0.06 * hiss[i])), "train.wav: is too noisy: "),
        (save("song.wav", &changed(&|i, s| s + 0.03 * chord(i))), "song.wav: is mostly music"),
        (save("talk.wav", &audio::join(&many, 0.2).unwrap().0), "there are "),
        (save("day.wav", &Clip::silence(7200.0, 8_000)), "day.wav: the duration is 7200 s, more than"),
        (chain.path("nowhere.wav"), "nowhere.wav: there is no such file"),
    ];
    std::fs::write(chain.path("notes.txt"), "a list of things to do").unwrap();
    cases.push((chain.path("notes.txt"), "notes.txt: holds text, not sound"));
    for (path, start) in cases {
        let refused = chain.attempt(&ReadClips { denoise: true }, &[("clip1", path)], &mut Told::default());
        let Err(StepError::Fault(fault)) = refused else { panic!("{start}: was taken") };
        assert!(fault.message.starts_with(start), "{} should start {start}", fault.message);
        assert!(!fault.message.contains('\n') && fault.help.is_some(), "{fault:?}");
        assert_eq!(fault.argument.as_deref(), Some("clip"), "{fault:?}");
    }
}

#[test]
fn speech_is_written_in_every_format_at_its_length() {
    let chain = Chain::new("formats");
    let voice = heard(&reading(3)).resampled(24_000).unwrap();
    std::fs::write(chain.path("speech.wav"), wav_bytes(&voice)).unwrap();
    for (format, media_type, start) in [
        ("wav", "audio/wav", b"RIFF".as_slice()),
        ("flac", "audio/flac", b"fLaC"),
        ("mp3", "audio/mpeg", b"\xff\xfb"),
    ] {
        let params = EncodeSpeech { format: format.into() };
        let mut told = Told::default();
        let inputs = [("speech", chain.path("speech.wav"))];
        let outputs = chain.attempt(&params, &inputs, &mut told).unwrap();
        assert_eq!((outputs.len(), outputs[0].media_type), (1, media_type));
        assert!(outputs[0].bytes.starts_with(start), "{format}");
        let back = audio::read_bytes(outputs[0].bytes.clone(), format, &AudioCaps::default()).unwrap();
        assert_eq!(back.rate, 48_000, "{format}");
        let frame = 1152.0 / 48_000.0;
        assert!((back.seconds() - voice.seconds()).abs() < frame, "{format}: {} s", back.seconds());
        assert!((back.loudness().unwrap() - voice.loudness().unwrap()).abs() < 0.2, "{format}");
        assert_eq!(told.progress.len(), 1);
    }
    let refused = chain.attempt(
        &EncodeSpeech { format: "aiff".into() },
        &[("speech", reading(3))],
        &mut Told::default(),
    );
    let Err(StepError::Fault(fault)) = refused else { panic!("aiff was taken") };
    assert_eq!(fault.message, "format is aiff, need wav, flac or mp3");
    assert_eq!((fault.argument.as_deref(), fault.help.is_some()), (Some("format"), true));
}
