//! The names that a component's tensors have in a file, from diffusers' names, by rule: LDM's autoencoder, the two
//! text encoders of single files, and diffusers' own older names.

use super::unet_names::Numbering;

/// How a file names a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Naming {
    /// As diffusers and transformers do, or did.
    Diffusers,
    /// LDM's UNet under `model.diffusion_model.`.
    LdmUNet(Numbering),
    /// LDM's autoencoder under that prefix, with so many levels.
    LdmVae(&'static str, usize),
    /// OpenAI's CLIP under that prefix, which holds transformers' names.
    Clip(&'static str),
    /// OpenCLIP under that prefix, with query, key and value in one matrix.
    OpenClip(&'static str),
}

/// What of the stored tensor is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// A third of the rows: query, key or value.
    Third(usize),
    Transposed,
}

impl Naming {
    /// Where the tensor may lie, the likeliest first.
    pub(super) fn sources(&self, name: &str) -> Vec<(String, Part)> {
        let whole = |name: Option<String>| name.map(|name| (name, Part::Whole)).into_iter().collect();
        match self {
            Naming::Diffusers => older(name).into_iter().map(|name| (name, Part::Whole)).collect(),
            Naming::LdmUNet(numbering) => {
                whole(numbering.ldm(name).map(|name| format!("model.diffusion_model.{name}")))
            }
            Naming::LdmVae(prefix, levels) => whole(vae(name, *levels).map(|name| format!("{prefix}{name}"))),
            Naming::Clip(prefix) => {
                let bare = name.strip_prefix("text_model.").unwrap_or(name);
                [format!("{prefix}text_model.{bare}"), format!("{prefix}{bare}")]
                    .map(|name| (name, Part::Whole))
                    .into()
            }
            Naming::OpenClip(prefix) => {
                open_clip(name).map(|(name, part)| (format!("{prefix}{name}"), part)).into_iter().collect()
            }
        }
    }
}

/// diffusers' name and what it was before: attention of autoencoders before 0.17, and text encoders with and without
/// `text_model.`.
fn older(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    if let Some(bare) = name.strip_prefix("text_model.") {
        names.push(bare.to_owned());
    } else if ["embeddings.", "encoder.layers.", "final_layer_norm."]
        .iter()
        .any(|start| name.starts_with(start))
    {
        names.push(format!("text_model.{name}"));
    }
    if name.contains("mid_block.attentions.") {
        for (now, then) in
            [(".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")]
        {
            if name.contains(now) {
                names.push(name.replace(now, then));
            }
        }
    }
    names
}

/// LDM's autoencoder counts the decoder's blocks from the outermost, as the encoder's.
fn vae(name: &str, levels: usize) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let numbered = |text: &str| text.parse::<usize>().ok().filter(|number| *number < levels);
    let (head, rest) = match &parts[..] {
        ["quant_conv" | "post_quant_conv", ..] => return Some(name.to_owned()),
        [coder @ ("encoder" | "decoder"), rest @ ..] => (*coder, rest),
        _ => return None,
    };
    let layer = |layer: &str| if layer == "conv_shortcut" { "nin_shortcut".into() } else { layer.to_owned() };
    let path = match rest {
        ["conv_in" | "conv_out", ..] => return Some(name.to_owned()),
        ["conv_norm_out", leaf] => format!("norm_out.{leaf}"),
        ["down_blocks", block, "resnets", index, inner, leaf] => {
            format!("down.{}.block.{index}.{}.{leaf}", numbered(block)?, layer(inner))
        }
        ["down_blocks", block, "downsamplers", "0", "conv", leaf] => {
            format!("down.{}.downsample.conv.{leaf}", numbered(block)?)
        }
        ["up_blocks", block, "resnets", index, inner, leaf] => {
            format!("up.{}.block.{index}.{}.{leaf}", levels - 1 - numbered(block)?, layer(inner))
        }
        ["up_blocks", block, "upsamplers", "0", "conv", leaf] => {
            format!("up.{}.upsample.conv.{leaf}", levels - 1 - numbered(block)?)
        }
        ["mid_block", "resnets", index, inner, leaf] => {
            format!("mid.block_{}.{}.{leaf}", index.parse::<usize>().ok()?.checked_add(1)?, layer(inner))
        }
        ["mid_block", "attentions", "0", rest @ ..] => {
            let (inner, leaf) = match rest {
                ["group_norm", leaf] => ("norm", leaf),
                ["to_q", leaf] => ("q", leaf),
                ["to_k", leaf] => ("k", leaf),
                ["to_v", leaf] => ("v", leaf),
                ["to_out", "0", leaf] => ("proj_out", leaf),
                _ => return None,
            };
            format!("mid.attn_1.{inner}.{leaf}")
        }
        _ => return None,
    };
    Some(format!("{head}.{path}"))
}

fn open_clip(name: &str) -> Option<(String, Part)> {
    let bare = name.strip_prefix("text_model.").unwrap_or(name);
    let whole = |name: String| Some((name, Part::Whole));
    match bare.split('.').collect::<Vec<_>>()[..] {
        ["text_projection", "weight"] => Some(("text_projection".into(), Part::Transposed)),
        ["embeddings", "position_embedding", "weight"] => whole("positional_embedding".into()),
        ["embeddings", "token_embedding", "weight"] => whole("token_embedding.weight".into()),
        ["final_layer_norm", leaf] => whole(format!("ln_final.{leaf}")),
        ["encoder", "layers", layer, inner, leaf] => match inner {
            "layer_norm1" => whole(format!("transformer.resblocks.{layer}.ln_1.{leaf}")),
            "layer_norm2" => whole(format!("transformer.resblocks.{layer}.ln_2.{leaf}")),
            _ => None,
        },
        ["encoder", "layers", layer, block, inner, leaf] => {
            let within = |rest: &str| format!("transformer.resblocks.{layer}.{rest}");
            let third = |n| Some((within(&format!("attn.in_proj_{leaf}")), Part::Third(n)));
            match (block, inner) {
                ("mlp", "fc1") => whole(within(&format!("mlp.c_fc.{leaf}"))),
                ("mlp", "fc2") => whole(within(&format!("mlp.c_proj.{leaf}"))),
                ("self_attn", "out_proj") => whole(within(&format!("attn.out_proj.{leaf}"))),
                ("self_attn", "q_proj") => third(0),
                ("self_attn", "k_proj") => third(1),
                ("self_attn", "v_proj") => third(2),
                _ => None,
            }
        }
        _ => None,
    }
}
