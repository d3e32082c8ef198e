//! Networks that several steps use, loaded when the first needs them and kept as long as the process lives: loading
//! takes a second, and speaking a sentence less.
//!
//! What is done with them is the steps' business; where their weights lie, `spinbot-models`'.

use crate::scoring::Judge;
use crate::step::{StepInput, model_fault};
use spinbot::{Fault, home};
use spinbot_models::diffusion::lora_file::LoraFile;
use spinbot_models::diffusion::pipeline::{AppliedLoras, Pipeline, Precision};
use spinbot_models::kokoro::voice::StockVoices;
use spinbot_models::kokoro::{Adapters, Decoder, Kokoro, Voice};
use spinbot_models::language::LanguageModel;
use spinbot_models::listen::Listener;
use spinbot_models::pocket::{Pocket, PocketFiles, PocketLanguage};
use spinbot_models::visemes::VisemeListener;
use spinbot_models::wav2lip::Wav2Lip;
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

/// Wav2Lip with those weights. Of several the last is kept.
pub(crate) fn wav2lip(weights: &StepInput) -> Result<Arc<Wav2Lip>, Fault> {
    static KEPT: Mutex<Option<(String, Arc<Wav2Lip>)>> = Mutex::new(None);
    let mut slot = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((sha256, loaded)) = &*slot
        && *sha256 == weights.sha256
    {
        return Ok(Arc::clone(loaded));
    }
    *slot = None;
    let loaded = Wav2Lip::load(&weights.path).map_err(|error| model_fault(error).about("variant"))?;
    let loaded = Arc::new(loaded);
    *slot = Some((weights.sha256.clone(), Arc::clone(&loaded)));
    Ok(loaded)
}

/// A language model, which remembers what it has read: one conversation at a time.
pub(crate) type Writer = Arc<Mutex<LanguageModel>>;

/// The language model that is fetched with SpinBot's own.
pub(crate) fn smollm2() -> Result<Writer, Fault> {
    static KEPT: Kept<Mutex<LanguageModel>> = Kept::new();
    KEPT.get(|store, device| Ok(Mutex::new(LanguageModel::open(&store.checked_file("smollm2")?, device)?)))
}

/// A language model of the user's own. Of several the last is kept.
pub(crate) fn language_model(weights: &StepInput, device: &Device) -> Result<Writer, Fault> {
    static KEPT: Mutex<Option<((String, String), Writer)>> = Mutex::new(None);
    let mut slot = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = (weights.sha256.clone(), device.place());
    if let Some((known, loaded)) = &*slot
        && *known == wanted
    {
        return Ok(Arc::clone(loaded));
    }
    *slot = None;
    let loaded =
        LanguageModel::open(&weights.path, device).map_err(|error| model_fault(error).about("llm"))?;
    let loaded = Arc::new(Mutex::new(loaded));
    *slot = Some((wanted, Arc::clone(&loaded)));
    Ok(loaded)
}

/// A model to draw with, and LoRAs laid out for it.
pub(crate) struct Painter {
    /// The model.
    pub(crate) pipeline: Arc<Pipeline>,
    /// The LoRAs.
    pub(crate) loras: Arc<AppliedLoras>,
}

/// What of a painter is kept: the model, which LoRAs' words it was taught, and the last LoRAs with what they were laid
/// out from.
struct KeptPainter {
    sha256: String,
    /// The device and the precision.
    place: (String, Precision),
    pipeline: Arc<Pipeline>,
    taught: Vec<String>,
    loras: Option<KeptLoras>,
}

/// LoRAs by hash and weight, as they were laid out.
struct KeptLoras {
    mixture: Vec<(String, u64)>,
    applied: Arc<AppliedLoras>,
}

static PAINTER: Mutex<Option<KeptPainter>> = Mutex::new(None);

/// Gives the memory of the model that draws back, to one that learns.
pub(crate) fn forget_painter() {
    *PAINTER.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// The model of those files with these LoRAs, each counted by its weight, and with the words that they taught it. Of
/// several models the last is kept, and of that the last mixture: each may have gigabytes, and one prompt after another
/// is drawn with the same. What was taught other words is loaded anew.
pub(crate) fn painter(
    model: &StepInput,
    loras: &[(&StepInput, f64)],
    (device, precision): &(Device, Precision),
) -> Result<Painter, Fault> {
    let mut slot = PAINTER.lock().unwrap_or_else(PoisonError::into_inner);
    let here = (device.place(), *precision);
    let wanted: Vec<(String, u64)> =
        loras.iter().map(|(file, weight)| (file.sha256.clone(), weight.to_bits())).collect();
    if let Some(KeptPainter { sha256, place, pipeline, loras: Some(KeptLoras { mixture, applied }), .. }) =
        &*slot
        && *sha256 == model.sha256
        && *place == here
        && *mixture == wanted
    {
        return Ok(Painter { pipeline: Arc::clone(pipeline), loras: Arc::clone(applied) });
    }
    let about =
        |number: usize| move |error: ModelError| model_fault(error).about(format!("lora{}", number + 1));
    let other_model = "use a LoRA that was made for this model, or name the model it was made for with --base; \
                       `%loras` says which";
    let mut files = Vec::with_capacity(loras.len());
    let mut words = Vec::new();
    for (number, (file, weight)) in loras.iter().enumerate() {
        // The store's files have no extension, by which formats are told apart.
        let opened = LoraFile::open_stored(&file.path, &file.label).map_err(about(number))?;
        if let Some(word) = opened.trigger().map_err(about(number))? {
            words.push((number, file.sha256.clone(), word));
        }
        files.push((opened, *weight));
    }
    let to_teach: Vec<String> = words.iter().map(|(_, sha256, _)| sha256.clone()).collect();
    // Taken out, so that nothing half-taught is kept.
    let known = slot.take().filter(|kept| kept.sha256 == model.sha256 && kept.place == here);
    let known = known.filter(|kept| kept.taught == to_teach || kept.taught.is_empty());
    // One that is drawing cannot be taught.
    let known = known.filter(|kept| kept.taught == to_teach || Arc::strong_count(&kept.pipeline) == 1);
    let mut kept = match known {
        Some(kept) => kept,
        None => {
            let pipeline = Pipeline::open(&model.path, *precision, device);
            let pipeline = Arc::new(pipeline.map_err(|error| model_fault(error).about("model"))?);
            KeptPainter {
                sha256: model.sha256.clone(),
                place: here,
                pipeline,
                taught: Vec::new(),
                loras: None,
            }
        }
    };
    kept.loras = None;
    let applied = kept.pipeline.adapters(&files);
    let applied = match applied {
        Ok(applied) => Arc::new(applied),
        Err(error) => {
            *slot = Some(kept);
            return Err(model_fault(error).about("lora1").help(other_model));
        }
    };
    if kept.taught != to_teach {
        let Some(pipeline) = Arc::get_mut(&mut kept.pipeline) else {
            return Err(Fault::new("the model could not be taught the words of its LoRAs"));
        };
        for (number, _, word) in &words {
            pipeline.teach(word).map_err(|error| about(*number)(error).help(other_model))?;
        }
        kept.taught = to_teach;
    }
    let painter = Painter { pipeline: Arc::clone(&kept.pipeline), loras: Arc::clone(&applied) };
    kept.loras = Some(KeptLoras { mixture: wanted, applied });
    *slot = Some(kept);
    Ok(painter)
}

/// What scores pictures.
pub(crate) fn judge() -> Result<Arc<Judge>, Fault> {
    static KEPT: Kept<Judge> = Kept::new();
    KEPT.get(|_, _| Judge::load())
}

/// What hears visemes.
pub(crate) fn viseme_listener() -> Result<Arc<VisemeListener>, Fault> {
    static KEPT: Kept<VisemeListener> = Kept::new();
    KEPT.get(|_, device| VisemeListener::load(device))
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
