//! `read_clips`: recordings of one voice, checked, cleaned and joined. Only what sound itself tells is judged here;
//! whether it is one speaker, and English, takes networks.
//!
//! Thresholds, with what was measured. Readers: 24 clips of 3 speakers, LibriSpeech test-other; damage was added to
//! them in known amounts.
//!
//! | what | readers | damaged | warned | refused |
//! |---|---|---|---|---|
//! | clipped share | 0 | 6 dB over full scale 0.003-0.018 (distortion -17 to -24 dB), 10 dB over 0.014-0.065 (-11 to -15 dB) | 0.003 | 0.05 |
//! | SNR | 14-36 dB; two of the speakers above 28 | white, pink noise, hum at 0 to 30 dB: told within 1.5 dB on nearly all clips | 12 dB | 5 dB |
//! | music score | 0.00 | music 0.88-1.00; voice with music 10 dB under it 0.77-1.00, 20 dB under it 0.34-0.60 | 0.3 | 0.7 |

use crate::clips::{ClipReport, Clips};
use crate::step::{Inputs, Report, Run, StepError, StepInput, StepOutput, media_fault, numbered};
use spinbot::{Fault, steps::ReadClips};
use spinbot_media::audio::{self, AudioCaps, Clip};

/// Samples a second of the joined speech: what Kokoro speaks in.
const RATE: u32 = 24_000;
const LUFS: f64 = -23.0;
const PEAK_DBFS: f64 = -1.0;
/// Speech needed in all, in seconds.
const LEAST_SPEECH: f64 = 3.0;
/// Longest joined speech.
const MOST_SECONDS: f64 = 60.0;
/// Longest single recording, in seconds: as much silence again as speech.
const MOST_RECORDED: f64 = 2.0 * MOST_SECONDS;
/// Most clips; each is read and measured before anything is known of the next.
const MOST_CLIPS: usize = 40;
/// Recordings below this loudness hold nothing that could be brought up.
const SILENCE_LUFS: f64 = -65.0;
/// Left of the silence at both ends, and put between clips, in seconds.
const MARGIN: f64 = 0.1;
const GAP: f64 = 0.2;
/// The table above.
const CLIPPED: (f64, f64) = (0.003, 0.05);
const NOISY: (f64, f64) = (12.0, 5.0);
const MUSICAL: (f64, f64) = (0.3, 0.7);

impl Run for ReadClips {
    fn run(
        &self,
        inputs: &Inputs,
        _seed: u64,
        report: &mut dyn Report,
    ) -> Result<Vec<StepOutput>, StepError> {
        let given = numbered(inputs, "clip");
        if given.len() > MOST_CLIPS {
            return Err(fault(
                format!("{} clips were given, more than the {MOST_CLIPS} allowed", given.len()),
                "choose the best of them; a minute of speech in all is enough",
            )
            .into());
        }
        let total = given.len() as f64;
        let (mut cleaned, mut reports): (Vec<Clip>, Vec<ClipReport>) = (Vec::new(), Vec::new());
        for (i, (_, clip)) in given.iter().enumerate() {
            let (clean, found) = read(clip, self.denoise)?;
            if let Some(before) = reports.iter().find(|before| before.sha256 == found.sha256) {
                return Err(fault(
                    format!("{}: is the same recording as {}", found.label, before.label),
                    "give each recording once",
                )
                .into());
            }
            report.log(&format!(
                "{}: {:.1} s, {:.1} s of speech, {:.1} LUFS, SNR {:.0} dB, clipped {:.2} %, music {:.2}",
                found.label,
                found.seconds,
                found.speech_seconds,
                found.loudness,
                found.snr_db,
                100.0 * found.clipped_share,
                found.music_score
            ));
            cleaned.push(clean);
            reports.push(found);
            let joined: f64 = cleaned.iter().map(|clip| clip.seconds() + GAP).sum::<f64>() - GAP;
            if joined > MOST_SECONDS {
                return Err(fault(
                    format!("there are {joined:.0} s of speech, more than the {MOST_SECONDS} s allowed"),
                    "half a minute is enough: choose the best recordings, or cut out a part",
                )
                .into());
            }
            report.progress((i + 1) as f64, total, "clip");
            if report.cancelled() {
                return Err(StepError::Cancelled);
            }
        }
        let speech: f64 = reports.iter().map(|found| found.speech_seconds).sum();
        if speech < LEAST_SPEECH {
            let labels: Vec<&str> = reports.iter().map(|found| found.label.as_str()).collect();
            return Err(fault(
                format!("{}: holds {speech:.1} s of speech, need {LEAST_SPEECH} s", labels.join(", ")),
                "record two or three sentences, or give more clips of the same person",
            )
            .into());
        }
        let (joined, spans) = audio::join(&cleaned, GAP).map_err(|error| media_fault(error, "clip"))?;
        for (found, span) in reports.iter_mut().zip(spans) {
            (found.start, found.end) = (span.start, span.end);
        }
        let clips = serde_json::to_vec(&Clips { seconds: joined.seconds(), clips: reports })
            .map_err(|error| Fault::new(format!("writing what was found in the clips failed: {error}")))?;
        Ok(vec![
            StepOutput { name: "speech", media_type: "audio/wav", bytes: audio::wav_bytes(&joined) },
            StepOutput { name: "clips", media_type: "application/json", bytes: clips },
        ])
    }
}

/// One recording, trimmed and brought to rate and level, and what was found in it. Its place in the joined speech
/// is not known yet.
fn read(input: &StepInput, denoise: bool) -> Result<(Clip, ClipReport), Fault> {
    let label = &input.label;
    let media = |error| media_fault(error, "clip");
    let caps = AudioCaps { max_seconds: MOST_RECORDED, ..AudioCaps::default() };
    let recorded = audio::read(&input.path, label, &caps).map_err(media)?;
    let loudness = recorded.loudness().map_err(media)?;
    if loudness < SILENCE_LUFS {
        return Err(fault(
            format!("{label}: the recording is silent"),
            "record again with the microphone on, or choose another clip",
        ));
    }
    // Before any filter rounds the cut tops.
    let clipped_share = recorded.clipped_share();
    let level = recorded.without_offset();
    let activity = level.activity().map_err(media)?;
    let (Some(whole), Some(snr_db)) = (activity.whole(MARGIN), activity.snr_db()) else {
        return Err(fault(
            format!("{label}: there is no speech in it, only a steady sound"),
            "record again nearer to the microphone, or choose another clip",
        ));
    };
    let music_score = level.music_score().map_err(media)?;
    let found = ClipReport {
        label: label.clone(),
        // The store names a file by its hash.
        sha256: input.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        start: 0.0,
        end: 0.0,
        seconds: recorded.seconds(),
        speech_seconds: activity.speech_seconds(),
        loudness,
        clipped_share,
        silence_share: activity.silence_share(),
        snr_db,
        music_score,
        warnings: Vec::new(),
    };
    let found = judged(found, denoise)?;
    let clean = if denoise { level.denoised(&activity).map_err(media)? } else { level };
    let clean =
        clean.part(whole).resampled(RATE).and_then(|clip| clip.normalized(LUFS, PEAK_DBFS)).map_err(media)?;
    Ok((clean, found))
}

/// Refuses what no voice can be learnt from, and warns of what makes a worse one.
fn judged(mut found: ClipReport, denoise: bool) -> Result<ClipReport, Fault> {
    let label = &found.label;
    let percent = 100.0 * found.clipped_share;
    if found.music_score >= MUSICAL.1 {
        return Err(fault(
            format!("{label}: is mostly music, or speech over music (score {:.2})", found.music_score),
            "give a recording of the voice alone",
        ));
    }
    if found.clipped_share >= CLIPPED.1 {
        return Err(fault(
            format!("{label}: is clipped: {percent:.0} % of it is cut off at full scale"),
            "record again with the microphone's level turned down",
        ));
    }
    if found.snr_db < NOISY.1 {
        return Err(fault(
            format!(
                "{label}: is too noisy: speech is {:.0} dB above the noise, need {}",
                found.snr_db, NOISY.1
            ),
            "record again in a quieter place, or nearer to the microphone",
        ));
    }
    let warnings = [
        (found.clipped_share >= CLIPPED.0)
            .then(|| format!("{percent:.1} % of it is cut off at full scale: record with a lower level")),
        (found.snr_db < NOISY.0).then(|| {
            let way =
                if denoise { "record in a quieter place" } else { "take the noise out, or record again" };
            format!("speech is only {:.0} dB above the noise: {way}", found.snr_db)
        }),
        (found.music_score >= MUSICAL.0)
            .then(|| format!("there may be music in it (score {:.2})", found.music_score)),
    ];
    found.warnings = warnings.into_iter().flatten().collect();
    Ok(found)
}

fn fault(message: String, help: &str) -> Fault {
    Fault::new(message).help(help).about("clip")
}
