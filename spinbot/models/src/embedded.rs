//! Weights small enough to be built into the program, so that the first video fetches nothing.
//!
//! Their licence and provenance lie beside them in `weights/`; `spinbot models pull` makes them again from
//! their package and compares.

/// The safetensors file of a built-in model.
pub(crate) fn bytes(id: &str) -> Option<&'static [u8]> {
    match id {
        "dnsmos" => Some(include_bytes!("../weights/dnsmos.safetensors")),
        "drawn-faces" => Some(include_bytes!("../weights/drawn-faces.safetensors")),
        "face-detector" => Some(include_bytes!("../weights/face-detector.safetensors")),
        "face-landmarks" => Some(include_bytes!("../weights/face-landmarks.safetensors")),
        "face-mesh" => Some(include_bytes!("../weights/face-mesh.safetensors")),
        "face-recognition" => Some(include_bytes!("../weights/face-recognition.safetensors")),
        "matte" => Some(include_bytes!("../weights/matte.safetensors")),
        "portrait-reader" => Some(include_bytes!("../weights/portrait-reader.safetensors")),
        "speaker-encoder" => Some(include_bytes!("../weights/speaker-encoder.safetensors")),
        "visemes" => Some(include_bytes!("../weights/visemes.safetensors")),
        _ => None,
    }
}

/// The files of a built-in model that is a diffusers folder, by their paths in it, sorted.
pub(crate) fn folder(id: &str) -> Option<Folder> {
    (id == "portraits").then_some(PORTRAITS)
}

type Folder = &'static [(&'static str, &'static [u8])];

macro_rules! files {
    ($($path:literal),+) => {
        &[$(($path, include_bytes!(concat!("../weights/portraits/", $path)))),+]
    };
}

static PORTRAITS: Folder = files![
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors"
];
