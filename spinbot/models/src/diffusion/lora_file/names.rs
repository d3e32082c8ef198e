//! How the programs that make LoRAs name their tensors.

/// What a tensor is of its layer's pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leaf {
    Down,
    Up,
    Mid,
    Alpha,
}

/// Endings: peft's, kohya's, and those of diffusers before it used peft (the last two of each).
const LEAVES: [(&str, Leaf, bool); 14] = [
    (".lora_A.weight", Leaf::Down, false),
    (".lora_B.weight", Leaf::Up, false),
    (".lora_A.default.weight", Leaf::Down, false),
    (".lora_B.default.weight", Leaf::Up, false),
    (".lora_down.weight", Leaf::Down, false),
    (".lora_up.weight", Leaf::Up, false),
    (".lora_mid.weight", Leaf::Mid, false),
    (".alpha", Leaf::Alpha, false),
    (".lora_linear_layer.down.weight", Leaf::Down, false),
    (".lora_linear_layer.up.weight", Leaf::Up, false),
    (".lora.down.weight", Leaf::Down, false),
    (".lora.up.weight", Leaf::Up, false),
    ("_lora.down.weight", Leaf::Down, true),
    ("_lora.up.weight", Leaf::Up, true),
];

/// Marks of methods that are not LoRA.
const OTHERS: [(&str, &str); 13] = [
    (".dora_scale", "DoRA"),
    (".lora_magnitude_vector", "DoRA"),
    (".hada_", "LoHa"),
    (".lokr_", "LoKr"),
    (".oft_", "OFT"),
    (".boft_", "OFT"),
    (".on_input", "IA3"),
    (".ia3_", "IA3"),
    (".diff", "whole weight differences"),
    (".a1.weight", "GLoRA"),
    (".lora_embedding_", "LoRA on embeddings"),
    (".lora_B.bias", "LoRA with a bias"),
    (".w_norm", "trained norms"),
];

/// The method other than LoRA that a tensor of that name belongs to.
pub(super) fn other_method(name: &str) -> Option<&'static str> {
    let of = |mark: &str| match mark {
        ".diff" => name.ends_with(".diff") || name.ends_with(".diff_b"),
        mark => name.contains(mark),
    };
    OTHERS.iter().find(|(mark, _)| of(mark)).map(|(_, method)| *method)
}

/// A tensor's name as its layer and its part in it, and whether the layer is named as by the first diffusers
/// (`attn1.processor.to_q`).
pub(super) fn split(name: &str) -> Option<(&str, Leaf, bool)> {
    LEAVES.iter().find_map(|(ending, leaf, old)| Some((name.strip_suffix(ending)?, *leaf, *old)))
}

/// A layer in a form that all namings share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoraName {
    pub component: &'static str,
    /// Its path in the component, dots as underscores, without `text_model.`.
    pub flat: String,
}

/// Prefixes: kohya's and diffusers', LDM's own, and of text encoders trained alone.
const COMPONENTS: [(&str, &str); 11] = [
    ("lora_unet_", "unet"),
    ("lora_te1_", "text_encoder"),
    ("lora_te2_", "text_encoder_2"),
    ("lora_te_", "text_encoder"),
    ("unet.", "unet"),
    ("text_encoder_2.", "text_encoder_2"),
    ("text_encoder.", "text_encoder"),
    ("model.diffusion_model.", "unet"),
    ("diffusion_model.", "unet"),
    ("text_model.", "text_encoder"),
    ("encoder.layers.", "text_encoder"),
];

/// What a UNet's paths begin with where nothing else says that they are one's.
const UNET: [&str; 6] =
    ["down_blocks.", "mid_block.", "up_blocks.", "conv_in", "conv_out", "time_embedding."];

impl LoraName {
    pub(super) fn read(layer: &str, old: bool) -> Option<LoraName> {
        let layer = layer.strip_prefix("base_model.model.").unwrap_or(layer);
        let (component, path) = match COMPONENTS.iter().find(|(prefix, _)| layer.starts_with(prefix)) {
            Some((prefix @ ("text_model." | "encoder.layers."), component)) => {
                (*component, &layer[if *prefix == "text_model." { prefix.len() } else { 0 }..])
            }
            Some((prefix, component)) => (*component, &layer[prefix.len()..]),
            None if UNET.iter().any(|start| layer.starts_with(start)) => ("unet", layer),
            None => return None,
        };
        let path = path.strip_prefix("base_model.model.").unwrap_or(path);
        let path = if old { first_diffusers(component, path) } else { path.to_owned() };
        Some(LoraName { component, flat: flattened(&path) })
    }
}

/// `attn1.processor.to_out` is `attn1.to_out.0`; in text encoders `self_attn.to_out` is `self_attn.out_proj`.
fn first_diffusers(component: &str, path: &str) -> String {
    let path = path.replace(".processor.", ".");
    let Some((block, layer)) = path.rsplit_once('.') else { return path };
    let layer = match (component, layer) {
        ("unet", "to_out") => "to_out.0",
        ("unet", layer) => layer,
        (_, "to_q") => "q_proj",
        (_, "to_k") => "k_proj",
        (_, "to_v") => "v_proj",
        (_, "to_out") => "out_proj",
        (_, layer) => layer,
    };
    format!("{block}.{layer}")
}

/// Dots as underscores. `text_model.` goes, because some libraries' text encoders have it and some have not.
pub(super) fn flattened(path: &str) -> String {
    let flat = path.replace('.', "_");
    flat.strip_prefix("text_model_").map_or(flat.clone(), str::to_owned)
}
