//! Weights small enough to be built into the program, so that the first video fetches nothing.
//!
//! Their licence and provenance lie beside them in `weights/`; `spinbot models pull` makes them again from
//! their package and compares.

/// The safetensors file of a built-in model.
pub(crate) fn bytes(id: &str) -> Option<&'static [u8]> {
    match id {
        "dnsmos" => Some(include_bytes!("../weights/dnsmos.safetensors")),
        "face-detector" => Some(include_bytes!("../weights/face-detector.safetensors")),
        "face-landmarks" => Some(include_bytes!("../weights/face-landmarks.safetensors")),
        "speaker-encoder" => Some(include_bytes!("../weights/speaker-encoder.safetensors")),
        _ => None,
    }
}
