//! What a drawing is made of, as its file says it; and the sizes of pictures it begins from.
//!
//! The networks are `spinbot-models`', the step that runs them is `steps/draw.rs`.

use serde_json::json;
use spinbot::draw::Sampler;
use spinbot::{Fault, steps::Draw};
use spinbot_media::{RgbImage, picture};
use spinbot_models::diffusion::pipeline::Rgb8;
use std::path::Path;

/// Keyword of the text chunk that holds the plan as JSON.
pub(crate) const PLAN: &str = "spinbot.plan";

/// A LoRA that had a part in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lora {
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) weight: f64,
}

/// Everything a drawing was made of.
#[derive(Debug)]
pub(crate) struct Made<'a> {
    pub(crate) params: &'a Draw,
    pub(crate) seed: u64,
    /// Width and height in pixels.
    pub(crate) size: (u32, u32),
    /// The model's id.
    pub(crate) model: &'a str,
    pub(crate) model_sha256: &'a str,
    pub(crate) loras: Vec<Lora>,
    /// SHA-256 of the picture it began from.
    pub(crate) from_image: Option<&'a str>,
    pub(crate) mask: Option<&'a str>,
}

impl Made<'_> {
    /// As JSON: the step's parameters, seed and inputs by hash, so that it can be drawn again.
    pub(crate) fn json(&self) -> Result<String, Fault> {
        let unwritten = |e| Fault::new(format!("what was drawn cannot be written as JSON: {e}"));
        let loras: Vec<_> = self
            .loras
            .iter()
            .map(|lora| json!({"name": lora.name, "sha256": lora.sha256, "weight": lora.weight}))
            .collect();
        let plan = json!({
            "step": "draw",
            "version": <Draw as spinbot::steps::StepParams>::VERSION,
            "spinbot": env!("CARGO_PKG_VERSION"),
            "params": self.params,
            "seed": self.seed,
            "width": self.size.0,
            "height": self.size.1,
            "model": {"id": self.model, "sha256": self.model_sha256},
            "loras": loras,
            "image": self.from_image,
            "mask": self.mask,
        });
        serde_json::to_string(&plan).map_err(unwritten)
    }

    /// As the webui of AUTOMATIC1111 writes it, which others read too.
    pub(crate) fn parameters(&self) -> String {
        let Draw { prompt, negative, steps, cfg, .. } = self.params;
        let mut text = prompt.clone();
        for Lora { name, weight, .. } in &self.loras {
            text.push_str(&format!(" <lora:{name}:{weight}>"));
        }
        if let Some(negative) = negative {
            text.push_str(&format!("\nNegative prompt: {negative}"));
        }
        let (sampler, schedule) = match self.params.sampler {
            None => ("the model's own", None),
            Some(Sampler::Ddim) => ("DDIM", None),
            Some(Sampler::Euler) => ("Euler", None),
            Some(Sampler::EulerA) => ("Euler a", None),
            Some(Sampler::Dpm2m) => ("DPM++ 2M", None),
            Some(Sampler::Dpm2mKarras) => ("DPM++ 2M", Some("Karras")),
            Some(Sampler::Lcm) => ("LCM", None),
        };
        let (width, height) = self.size;
        let mut facts = vec![("Steps", steps.to_string()), ("Sampler", sampler.to_owned())];
        facts.extend(schedule.map(|name| ("Schedule type", name.to_owned())));
        facts.push(("CFG scale", cfg.to_string()));
        facts.push(("Seed", self.seed.to_string()));
        facts.push(("Size", format!("{width}x{height}")));
        facts.push(("Model hash", self.model_sha256.chars().take(10).collect()));
        facts.push(("Model", self.model.to_owned()));
        if self.from_image.is_some() {
            facts.push(("Denoising strength", self.params.strength.to_string()));
        }
        if self.params.clip_skip > 0 {
            // The webui counts from 1.
            facts.push(("Clip skip", (self.params.clip_skip + 1).to_string()));
        }
        facts.push(("Version", format!("SpinBot {}", env!("CARGO_PKG_VERSION"))));
        let facts: Vec<String> = facts.into_iter().map(|(name, value)| format!("{name}: {value}")).collect();
        text + "\n" + &facts.join(", ")
    }
}

/// What a model drew, as a picture.
///
/// # Errors
/// It has not the bytes of its size.
pub(crate) fn image(drawn: Rgb8) -> Result<RgbImage, Fault> {
    RgbImage::from_raw(drawn.width as u32, drawn.height as u32, drawn.pixels)
        .ok_or_else(|| Fault::new("a picture has not the bytes of its size"))
}

/// A file's name without folders: a picture that is passed on says nothing of its maker's machine.
pub(crate) fn file_name(label: &str) -> String {
    Path::new(label).file_name().map_or_else(|| label.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A file's name without folders and extension.
pub(crate) fn stem(label: &str) -> String {
    Path::new(label).file_stem().map_or_else(|| label.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// The size at which a picture is redrawn by a model that was trained on squares of `native` pixels' edge: the picture's
/// shape, as many pixels as the model knows, edges of `multiple`.
pub(crate) fn size_like((width, height): (u32, u32), native: u32, multiple: u32) -> (u32, u32) {
    let scale = f64::from(native) / (f64::from(width) * f64::from(height)).sqrt();
    let edge = |length: u32| {
        let steps = (f64::from(length) * scale / f64::from(multiple)).round() as u32;
        steps.clamp(1, 2048 / multiple.max(1)) * multiple
    };
    (edge(width), edge(height))
}

/// The picture made to fill that size: scaled, and what sticks out of it cut off at both sides alike.
pub(crate) fn cover(source: &RgbImage, width: u32, height: u32) -> RgbImage {
    let scale =
        (f64::from(width) / f64::from(source.width())).max(f64::from(height) / f64::from(source.height()));
    let scaled = |length: u32, least: u32| ((f64::from(length) * scale).round() as u32).max(least);
    let large = picture::resize(source, scaled(source.width(), width), scaled(source.height(), height));
    let (left, top) = ((large.width() - width) / 2, (large.height() - height) / 2);
    image::imageops::crop_imm(&large, left, top, width, height).to_image()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_webui_reads_what_a_drawing_was_made_of() {
        let params = Draw {
            prompt: "nova, (smiling:1.2)".into(),
            negative: Some("hat".into()),
            steps: 20,
            cfg: 5.5,
            rescale: 0.0,
            sampler: Some(Sampler::Dpm2mKarras),
            size: None,
            strength: 0.5,
            weights: vec![0.8],
            clip_skip: 1,
            device: "auto".into(),
            precision: None,
        };
        let sha256 = "0123456789abcdef".repeat(4);
        let lora = Lora { name: stem("/home/me/nova.v2.safetensors"), sha256: "ff".into(), weight: 0.8 };
        let made = Made {
            params: &params,
            seed: u64::MAX,
            size: (512, 768),
            model: "dreams",
            model_sha256: &sha256,
            loras: vec![lora],
            from_image: Some("aa"),
            mask: None,
        };
        assert_eq!(
            made.parameters(),
            format!(
                "nova, (smiling:1.2) <lora:nova.v2:0.8>\nNegative prompt: hat\nSteps: 20, Sampler: DPM++ 2M, Schedule \
                 type: Karras, CFG scale: 5.5, Seed: 18446744073709551615, Size: 512x768, Model hash: 0123456789, Model: \
                 dreams, Denoising strength: 0.5, Clip skip: 2, Version: SpinBot {}",
                env!("CARGO_PKG_VERSION")
            )
        );
        let plan: serde_json::Value = serde_json::from_str(&made.json().unwrap()).unwrap();
        assert_eq!(plan["seed"], u64::MAX);
        assert_eq!(serde_json::from_value::<Draw>(plan["params"].clone()).unwrap(), params);
        assert_eq!(plan["loras"][0]["name"], "nova.v2");
    }

    #[test]
    fn a_picture_is_redrawn_in_its_shape_at_a_size_the_model_knows() {
        for (given, native, multiple, expected) in [
            ((4000, 3000), 512, 64, (576, 448)),
            ((100, 100), 128, 32, (128, 128)),
            ((20000, 10), 512, 64, (2048, 64)),
            ((3, 5000), 128, 32, (32, 2048)),
        ] {
            assert_eq!(size_like(given, native, multiple), expected, "{given:?}");
        }
        let mut wide = RgbImage::from_pixel(40, 10, image::Rgb([0, 0, 0]));
        wide.put_pixel(20, 5, image::Rgb([255; 3]));
        let covered = cover(&wide, 20, 20);
        assert_eq!(covered.dimensions(), (20, 20));
        let brightest = covered.enumerate_pixels().max_by_key(|(_, _, pixel)| pixel.0[0]).unwrap();
        assert!((9..=12).contains(&brightest.0) && (9..=12).contains(&brightest.1), "{brightest:?}");
    }
}
