//! How the stock voices sound to both speaker encoders, how high they speak and how well they are understood: what a
//! search starts from and what it is measured against.
//!
//! Measured once on speech made with them (`cargo run --release -p spinbot-studio --example stock_voices`) and built
//! in, so that finding and scoring the nearest one costs nothing.

use crate::error::{ModelError, Result};
use crate::kokoro::Pitch;
use crate::kokoro::voice::{STOCK, StockVoice};
use crate::listen::Voiceprint;
use safetensors::tensor::{Dtype, TensorView};

/// The prints, as [`stock_prints_file`] writes them.
static FILE: &[u8] = include_bytes!("../../weights/stock-voices.safetensors");
/// What errors call it.
const ID: &str = "stock voices";
const PRINT: usize = 256;

/// A stock voice as it is heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StockPrint {
    /// Which one.
    pub voice: StockVoice,
    /// Its voice to the encoder that guides cloning.
    pub ge2e: Voiceprint,
    /// Its voice to the second encoder.
    pub dvector: Voiceprint,
    /// How high it speaks.
    pub pitch: Pitch,
    /// Share of the words that speech recognition hears wrong.
    pub word_error: f64,
    /// DNSMOS P.835, overall.
    pub dnsmos: f64,
}

/// All stock voices as they are heard, in the order of [`STOCK`].
///
/// # Errors
/// [`ModelError::Weights`] when the file built in is damaged; a test holds that it is not.
pub fn stock_prints() -> Result<Vec<StockPrint>> {
    let refuse = |reason: String| ModelError::Weights { model: ID.into(), reason };
    let file = safetensors::SafeTensors::deserialize(FILE).map_err(|e| refuse(e.to_string()))?;
    let values = |name: &str, width: usize| -> Result<Vec<f32>> {
        let view = file.tensor(name).map_err(|e| refuse(e.to_string()))?;
        if view.dtype() != Dtype::F32 || view.shape() != [STOCK.len(), width] {
            return Err(refuse(format!("`{name}` is {:?} {:?}", view.dtype(), view.shape())));
        }
        let (numbers, _) = view.data().as_chunks();
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let (ge2e, dvector) = (values("ge2e", PRINT)?, values("dvector", PRINT)?);
    let (pitch, quality) = (values("pitch", 2)?, values("quality", 2)?);
    let rows = STOCK
        .iter()
        .zip(ge2e.chunks_exact(PRINT))
        .zip(dvector.chunks_exact(PRINT))
        .zip(pitch.chunks_exact(2))
        .zip(quality.chunks_exact(2));
    Ok(rows
        .map(|((((voice, ge2e), dvector), pitch), quality)| StockPrint {
            voice: *voice,
            ge2e: Voiceprint::unit(ge2e),
            dvector: Voiceprint::unit(dvector),
            pitch: Pitch { mean: pitch[0], spread: pitch[1] },
            word_error: f64::from(quality[0]),
            dnsmos: f64::from(quality[1]),
        })
        .collect())
}

/// The file of those prints, in the order of [`STOCK`].
///
/// # Errors
/// [`ModelError::Weights`] when they are not one of each voice.
pub fn stock_prints_file(prints: &[StockPrint]) -> Result<Vec<u8>> {
    let refuse = |reason: String| ModelError::Weights { model: ID.into(), reason };
    if !prints.iter().map(|print| print.voice.name).eq(STOCK.iter().map(|voice| voice.name)) {
        return Err(refuse("there must be one print of each stock voice, in order".into()));
    }
    let bytes =
        |values: &mut dyn Iterator<Item = f32>| values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    let tensors = [
        ("ge2e", PRINT, bytes(&mut prints.iter().flat_map(|print| print.ge2e.0))),
        ("dvector", PRINT, bytes(&mut prints.iter().flat_map(|print| print.dvector.0))),
        ("pitch", 2, bytes(&mut prints.iter().flat_map(|print| [print.pitch.mean, print.pitch.spread]))),
        (
            "quality",
            2,
            bytes(&mut prints.iter().flat_map(|print| [print.word_error as f32, print.dnsmos as f32])),
        ),
    ];
    let views = tensors
        .iter()
        .map(|(name, width, data)| Ok((*name, TensorView::new(Dtype::F32, vec![STOCK.len(), *width], data)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| refuse(e.to_string()))?;
    safetensors::serialize(views, None).map_err(|e| refuse(e.to_string()))
}
