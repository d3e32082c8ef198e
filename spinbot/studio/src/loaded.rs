//! Networks that several steps use, loaded when the first needs them and kept as long as the process lives: loading
//! takes a second, and speaking a sentence less.
//!
//! What is done with them is the steps' business; where their weights lie, `spinbot-models`'.

use crate::step::{StepInput, model_fault};
use spinbot::{Fault, home};
use spinbot_models::diffusion::lora_file::LoraFile;
use spinbot_models::diffusion::pipeline::{AppliedLoras, Pipeline, Precision};
use spinbot_models::kokoro::voice::StockVoices;
use spinbot_models::kokoro::{Adapters, Decoder, Kokoro, Voice};
use spinbot_models::listen::Listener;
use spinbot_models::pocket::{Pocket, PocketFiles, PocketLanguage};
use spinbot_models::{Device, ModelError, Store};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A network that is loaded once. One that fails to load is tried again by the next who needs it.
struct Kept<T>(Mutex<Option<Arc<T>>>);

impl<T> Kept<T> {
    const fn new() -> Self {
        Kept(Mutex::new(None))
    }

    fn get(&self, load: impl FnOnce(&Store, &Device) -> Result<T, ModelError>) -> Result<Arc<T>, Fault> {
        // A panic while loading left nothing half-made: the slot is filled last.
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = &*slot {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(load(store()?, &Device::cpu()).map_err(model_fault)?);
        *slot = Some(Arc::clone(&loaded));
        Ok(loaded)
    }
}

/// The models on this machine.
fn store() -> Result<&'static Arc<Store>, Fault> {
    static STORE: OnceLock<Arc<Store>> = OnceLock::new();
    if let Some(store) = STORE.get() {
        return Ok(store);
    }
    let store = Store::open(home::cache_dir()).map_err(model_fault)?;
    Ok(STORE.get_or_init(|| Arc::new(store)))
}

/// What turns phonemes into features.
pub(crate) fn kokoro() -> Result<Arc<Kokoro>, Fault> {
    static KEPT: Kept<Kokoro> = Kept::new();
    KEPT.get(Kokoro::load)
}

/// What turns features into sound, without adapters.
pub(crate) fn decoder() -> Result<Arc<Decoder>, Fault> {
    static KEPT: Kept<Decoder> = Kept::new();
    KEPT.get(Decoder::open)
}

/// The decoder a voice speaks through, and its adapters where it has some.
pub(crate) fn decoder_of(voice: &Voice) -> Result<(Arc<Decoder>, Option<Adapters>), Fault> {
    let decoder = decoder()?;
    let adapters = match voice.adapters.is_empty() {
        true => None,
        false => Some(Adapters::from_tensors(&decoder, &voice.adapters, false).map_err(model_fault)?),
    };
    Ok((decoder, adapters))
}

/// pocket-tts with those weights. Of several the last is kept: nobody speaks with two, and each may have a gigabyte.
pub(crate) fn pocket(weights: &StepInput) -> Result<Arc<Pocket>, Fault> {
    static KEPT: Mutex<Option<(String, Arc<Pocket>)>> = Mutex::new(None);
    let mut slot = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((sha256, loaded)) = &*slot
        && *sha256 == weights.sha256
    {
        return Ok(Arc::clone(loaded));
    }
    *slot = None;
    let loaded = PocketFiles::beside(&weights.path)
        .and_then(|files| Pocket::load(&files, PocketLanguage::English, &Device::cpu()));
    let loaded = Arc::new(loaded.map_err(|error| model_fault(error).about("weights"))?);
    *slot = Some((weights.sha256.clone(), Arc::clone(&loaded)));
    Ok(loaded)
}

/// A model to draw with, and LoRAs laid out for it.
pub(crate) struct Painter {
    /// The model.
    pub(crate) pipeline: Arc<Pipeline>,
    /// The LoRAs.
    pub(crate) loras: Arc<AppliedLoras>,
}

/// What of a painter is kept: the model, and the last LoRAs with what they were laid out from.
struct KeptPainter {
    sha256: String,
    pipeline: Arc<Pipeline>,
    loras: Option<(Vec<(String, u64)>, Arc<AppliedLoras>)>,
}

/// The model of those files with these LoRAs, each counted by its weight. Of several models the last is kept, and of
/// that the last mixture: each may have gigabytes, and one prompt after another is drawn with the same.
pub(crate) fn painter(model: &StepInput, loras: &[(&StepInput, f64)]) -> Result<Painter, Fault> {
    static KEPT: Mutex<Option<KeptPainter>> = Mutex::new(None);
    let mut slot = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.as_ref().is_none_or(|kept| kept.sha256 != model.sha256) {
        // First the old one goes: there may be no room for both.
        *slot = None;
        let pipeline = Pipeline::open(&model.path, Precision::F32, &Device::cpu());
        let pipeline = Arc::new(pipeline.map_err(|error| model_fault(error).about("model"))?);
        *slot = Some(KeptPainter { sha256: model.sha256.clone(), pipeline, loras: None });
    }
    let Some(kept) = slot.as_mut() else { return Err(Fault::new("the model could not be kept")) };
    let wanted: Vec<(String, u64)> =
        loras.iter().map(|(file, weight)| (file.sha256.clone(), weight.to_bits())).collect();
    let applied = match &kept.loras {
        Some((known, applied)) if *known == wanted => Arc::clone(applied),
        _ => {
            kept.loras = None;
            let mut adapters = Vec::with_capacity(loras.len());
            for (number, (file, weight)) in loras.iter().enumerate() {
                let about = |fault: Fault| fault.about(format!("lora{}", number + 1));
                // The store's files have no extension, by which formats are told apart.
                let opened = LoraFile::open_stored(&file.path, &file.label);
                adapters.push((opened.map_err(model_fault).map_err(about)?, *weight));
            }
            let applied = kept.pipeline.adapters(&adapters).map_err(|error| {
                model_fault(error).about("lora1").help(
                    "use a LoRA that was made for this model, or name the model it was made for with --base; \
                     `%loras` says which",
                )
            })?;
            let applied = Arc::new(applied);
            kept.loras = Some((wanted, Arc::clone(&applied)));
            applied
        }
    };
    Ok(Painter { pipeline: Arc::clone(&kept.pipeline), loras: applied })
}

/// The stock voices.
pub(crate) fn stock_voices() -> Result<Arc<StockVoices>, Fault> {
    static KEPT: Kept<StockVoices> = Kept::new();
    KEPT.get(|store, _| StockVoices::open(store))
}

/// What listens: speaker encoders, speech recognition, quality scores.
pub(crate) fn listener() -> Result<&'static Listener, Fault> {
    static LISTENER: OnceLock<Listener> = OnceLock::new();
    if let Some(listener) = LISTENER.get() {
        return Ok(listener);
    }
    let store = Arc::clone(store()?);
    Ok(LISTENER.get_or_init(|| Listener::new(store, Device::cpu())))
}
