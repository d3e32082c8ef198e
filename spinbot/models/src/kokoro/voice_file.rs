//! A whole voice: what it sounds like, how it speaks, how high, and the adapters it may have; as one safetensors
//! file, and mixed of several.

use super::Pitch;
use super::voice::{Accent, ROWS, STYLE, VoicePack};
use crate::error::{ModelError, Result};
use crate::listen::Voiceprint;
use candle_core::{DType, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Where the file's metadata holds what is no tensor.
const DESCRIPTION: &str = "spinbot.voice";
const STYLES: &str = "style";
/// How the speaker is heard, 256 numbers each.
const GE2E: &str = "speaker.ge2e";
const DVECTOR: &str = "speaker.dvector";
/// Adapters' tensors are named so, with their own name behind.
const ADAPTER: &str = "adapter.";
/// The largest file that is believed: adapters of rank 64 have 35 MB.
const LARGEST: usize = 64 << 20;

/// A voice to speak with.
#[derive(Debug, Clone)]
pub struct Voice {
    /// Its styles.
    pub pack: VoicePack,
    /// Whose English it speaks.
    pub accent: Accent,
    /// The stock voice it was made from, or itself.
    pub base: String,
    /// The pitch its melodies are moved to; nothing leaves them as the network makes them.
    pub pitch: Option<Pitch>,
    /// How the speaker it was made of is heard; nothing for stock voices and blends.
    pub speaker: Option<SpeakerPrints>,
    /// Tensors of its adapters, for [`super::Adapters::from_tensors`]; empty when it has none.
    pub adapters: HashMap<String, Tensor>,
}

/// A speaker to both encoders of [`crate::listen`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpeakerPrints {
    /// By the encoder that guides cloning.
    pub ge2e: Voiceprint,
    /// By the second encoder.
    pub dvector: Voiceprint,
}

impl SpeakerPrints {
    /// How the speaker of a voice file is heard, whichever synthesiser the voice is of; nothing where it does not tell.
    ///
    /// # Errors
    /// [`ModelError::Voice`] when it is no safetensors file, or the prints in it are none.
    pub fn read(bytes: &[u8]) -> Result<Option<SpeakerPrints>> {
        let file = safetensors::SafeTensors::deserialize(bytes).map_err(|e| no_voice(e.to_string()))?;
        let print = |name: &str| -> Result<Option<Voiceprint>> {
            let Ok(view) = file.tensor(name) else { return Ok(None) };
            Ok(Some(Voiceprint::unit(&values(&view)?)))
        };
        Ok(print(GE2E)?.zip(print(DVECTOR)?).map(|(ge2e, dvector)| SpeakerPrints { ge2e, dvector }))
    }

    /// As a file holds them.
    pub(crate) fn tensors(&self) -> [(&'static str, &[f32]); 2] {
        [(GE2E, &self.ge2e.0), (DVECTOR, &self.dvector.0)]
    }
}

fn no_voice(reason: String) -> ModelError {
    ModelError::Voice {
        given: "the voice file".into(),
        reason,
        advice: "choose a voice that `%voices` lists, or clone one".into(),
    }
}

fn values(view: &TensorView<'_>) -> Result<Vec<f32>> {
    if view.dtype() != Dtype::F32 {
        return Err(no_voice(format!("it holds {:?}, expected F32", view.dtype())));
    }
    let (numbers, _) = view.data().as_chunks();
    Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// What the metadata says.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    accent: Accent,
    base: String,
    pitch: Option<Pitch>,
}

impl Voice {
    /// Reads a voice from the bytes of a file.
    ///
    /// # Errors
    /// [`ModelError::Voice`] when it is no voice file, is too large, or holds numbers that are not finite.
    pub fn read(bytes: &[u8]) -> Result<Voice> {
        let refuse = no_voice;
        if bytes.len() > LARGEST {
            return Err(refuse(format!("it has {} MB, the most is 64", bytes.len() >> 20)));
        }
        let file = safetensors::SafeTensors::deserialize(bytes).map_err(|e| refuse(e.to_string()))?;
        let (_, metadata) =
            safetensors::SafeTensors::read_metadata(bytes).map_err(|e| refuse(e.to_string()))?;
        let text = metadata.metadata().as_ref().and_then(|metadata| metadata.get(DESCRIPTION));
        let text = text.ok_or_else(|| refuse("it does not say which voice it is".into()))?;
        let description: Description = serde_json::from_str(text).map_err(|e| refuse(e.to_string()))?;
        let styles = file.tensor(STYLES).map_err(|e| refuse(e.to_string()))?;
        let mut adapters = HashMap::new();
        for (name, view) in file.tensors() {
            let Some(name) = name.strip_prefix(ADAPTER) else { continue };
            let tensor = Tensor::from_vec(values(&view)?, view.shape(), &candle_core::Device::Cpu);
            adapters.insert(name.to_owned(), tensor.map_err(|e| refuse(e.to_string()))?);
        }
        let speaker = SpeakerPrints::read(bytes)?;
        let Description { accent, base, pitch } = description;
        if pitch.is_some_and(|pitch| !(pitch.mean.is_finite() && pitch.spread.is_finite())) {
            return Err(refuse("its pitch is no number".into()));
        }
        Ok(Voice { pack: VoicePack::new(values(&styles)?)?, accent, base, pitch, speaker, adapters })
    }

    /// The voice as the bytes of a file; the same for the same voice.
    ///
    /// # Errors
    /// [`ModelError::Voice`] or [`ModelError::Tensor`] when it cannot be written.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let refuse = |reason: String| ModelError::Voice {
            given: "the voice".into(),
            reason,
            advice: "this is a bug in SpinBot".into(),
        };
        let description = Description { accent: self.accent, base: self.base.clone(), pitch: self.pitch };
        let description = serde_json::to_string(&description).map_err(|e| refuse(e.to_string()))?;
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let mut tensors = vec![(STYLES.to_owned(), vec![ROWS, STYLE], bytes(self.pack.styles()))];
        for (name, print) in self.speaker.iter().flat_map(SpeakerPrints::tensors) {
            tensors.push((name.to_owned(), vec![print.len()], bytes(print)));
        }
        let mut names: Vec<&String> = self.adapters.keys().collect();
        names.sort_unstable();
        for name in names {
            let tensor = &self.adapters[name];
            let values = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()?.to_vec1::<f32>());
            let values = values.map_err(ModelError::tensor("writing a voice"))?;
            tensors.push((format!("{ADAPTER}{name}"), tensor.dims().to_vec(), bytes(&values)));
        }
        let views = tensors
            .iter()
            .map(|(name, shape, data)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), data)?)))
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|e| refuse(e.to_string()))?;
        let metadata = HashMap::from([(DESCRIPTION.to_owned(), description)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| refuse(e.to_string()))
    }

    /// Several voices by weight: their styles' and pitches' means, all their adapters at their share. The accent
    /// and the base are the strongest part's. `own_pitch` is how high a voice without a [`Voice::pitch`] speaks.
    ///
    /// # Errors
    /// [`ModelError::Voice`] when there are none; [`ModelError::Tensor`].
    pub fn blend(parts: &[(Voice, f32)], own_pitch: impl Fn(&Voice) -> Option<Pitch>) -> Result<Voice> {
        let strongest = parts.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let (strongest, _) = strongest.ok_or_else(|| ModelError::Voice {
            given: "the blend".into(),
            reason: "it has no parts".into(),
            advice: "write one voice as `af_heart`, several as `af_heart:0.6+am_echo:0.4`".into(),
        })?;
        if let [(only, _)] = parts {
            return Ok(only.clone());
        }
        let whole: f32 = parts.iter().map(|(_, weight)| weight).sum();
        let pack = VoicePack::mean(parts.iter().map(|(voice, weight)| (&voice.pack, *weight)));
        let moved = parts.iter().any(|(voice, _)| voice.pitch.is_some());
        let pitches: Vec<(Pitch, f32)> = parts
            .iter()
            .filter_map(|(voice, weight)| Some((voice.pitch.or_else(|| own_pitch(voice))?, *weight)))
            .collect();
        let known: f32 = pitches.iter().map(|(_, weight)| weight).sum();
        let mean = |value: fn(&Pitch) -> f32| pitches.iter().map(|(p, w)| value(p) * w).sum::<f32>() / known;
        let pitch = moved.then(|| Pitch { mean: mean(|p| p.mean), spread: mean(|p| p.spread) });
        let mut adapters: HashMap<String, Tensor> = HashMap::new();
        for (voice, weight) in parts {
            add_adapters(&mut adapters, &voice.adapters, f64::from(weight / whole))
                .map_err(ModelError::tensor("blending adapters"))?;
        }
        let (accent, base) = (strongest.accent, strongest.base.clone());
        Ok(Voice { pack, accent, base, pitch, speaker: None, adapters })
    }
}

/// Adds adapters at a share: side by side they act as their sum, so their ranks add up.
fn add_adapters(
    sum: &mut HashMap<String, Tensor>,
    more: &HashMap<String, Tensor>,
    share: f64,
) -> candle_core::Result<()> {
    for (name, tensor) in more {
        let part = if name.ends_with(".down") { tensor.clone() } else { (tensor * share)? };
        let joined = match sum.get(name) {
            None => part,
            Some(before) if name.ends_with(".down") => Tensor::cat(&[before, &part], 0)?,
            Some(before) if name.ends_with(".up") => Tensor::cat(&[before, &part], 1)?,
            Some(before) => (before + part)?,
        };
        sum.insert(name.clone(), joined);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    fn voice(value: f32, pitch: Option<Pitch>, adapter: f32) -> Voice {
        let tensor = |shape: (usize, usize)| {
            (Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap() * f64::from(adapter)).unwrap()
        };
        let adapters = [("c.down", tensor((2, 3))), ("c.up", tensor((4, 2))), ("n.offset", tensor((1, 5)))];
        Voice {
            pack: VoicePack::uniform(&[value; STYLE]).unwrap(),
            accent: if value > 0.5 { Accent::British } else { Accent::American },
            base: format!("base of {value}"),
            pitch,
            speaker: (value == 0.25).then(|| SpeakerPrints {
                ge2e: Voiceprint::unit(&[3.0, 4.0]),
                dvector: Voiceprint::unit(&[0.0, 0.0, 2.0]),
            }),
            adapters: if adapter == 0.0 {
                HashMap::new()
            } else {
                adapters.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
            },
        }
    }

    #[test]
    fn a_voice_comes_back_from_its_file_and_another_file_is_refused() {
        let pitch = Some(Pitch { mean: 5.0, spread: 0.2 });
        let before = voice(0.25, pitch, 2.0);
        let bytes = before.bytes().unwrap();
        assert_eq!(bytes, before.bytes().unwrap());
        let after = Voice::read(&bytes).unwrap();
        assert_eq!(
            (after.pack, after.accent, after.base, after.pitch),
            (before.pack, before.accent, before.base, pitch)
        );
        assert_eq!(after.speaker, before.speaker);
        let up = after.adapters["c.up"].to_vec2::<f32>().unwrap();
        assert_eq!((after.adapters.len(), up), (3, vec![vec![2.0; 2]; 4]));

        let stranger =
            safetensors::serialize([("style", TensorView::new(Dtype::U8, vec![1], &[0]).unwrap())], None);
        for (bytes, reason) in [
            (vec![], ""),
            (b"not a voice at all".to_vec(), ""),
            (stranger.unwrap(), "does not say which voice"),
            (bytes[..bytes.len() - 4].to_vec(), ""),
            (vec![0; LARGEST + 1], "the most is 64"),
        ] {
            let error = Voice::read(&bytes).unwrap_err();
            assert!(error.to_string().contains("the voice file"), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }

    #[test]
    fn a_blend_is_as_much_of_each_voice_as_its_weight() {
        let pitch = |mean| Some(Pitch { mean, spread: 0.2 });
        let own = |_: &Voice| pitch(4.0);
        let one = Voice::blend(&[(voice(0.0, None, 1.0), 7.0)], own).unwrap();
        assert_eq!((one.pack.styles()[0], one.pitch), (0.0, None));

        let both = [(voice(0.0, pitch(5.0), 1.0), 3.0), (voice(1.0, None, 2.0), 1.0)];
        let mixed = Voice::blend(&both, own).unwrap();
        assert_eq!(mixed.pack.styles()[7], 0.25);
        assert_eq!((mixed.accent, mixed.base.as_str()), (Accent::American, "base of 0"));
        assert!((mixed.pitch.unwrap().mean - 4.75).abs() < 1e-6);
        // Their effect, up times down, is the sum of both at their share.
        let (up, down) = (&mixed.adapters["c.up"], &mixed.adapters["c.down"]);
        assert_eq!((up.dims(), down.dims()), (&[4, 4][..], &[4, 3][..]));
        let effect = up.matmul(down).unwrap().to_vec2::<f32>().unwrap();
        assert!((effect[0][0] - (0.75 * 2.0 + 0.25 * 8.0)).abs() < 1e-5, "{effect:?}");
        assert!((mixed.adapters["n.offset"].to_vec2::<f32>().unwrap()[0][0] - 1.25).abs() < 1e-6);

        let stock = Voice::blend(&[(voice(0.0, None, 0.0), 1.0), (voice(1.0, None, 0.0), 1.0)], own).unwrap();
        assert_eq!(stock.pitch, None, "stock voices keep their own melody");
        assert!(Voice::blend(&[], own).is_err());
    }
}
