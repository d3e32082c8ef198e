//! The UNet's names in the original code of latent diffusion (LDM), from diffusers' names, by rule.
//!
//! LDM numbers its blocks through (`input_blocks.4.1`) where diffusers nests them
//! (`down_blocks.1.attentions.0`); inside of a transformer both say the same.

/// What the numbering depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbering {
    /// Residual blocks in a down block; up blocks have one more.
    layers_per_block: usize,
    /// Whether the up blocks have attention, from the first: their upsampler stands behind it.
    up_attention: Vec<bool>,
}

impl Numbering {
    /// From the UNet's names in diffusers.
    pub(crate) fn of_diffusers<'a>(names: impl Iterator<Item = &'a str>) -> Numbering {
        let mut found = Numbering { layers_per_block: 0, up_attention: Vec::new() };
        for name in names {
            match name.split('.').collect::<Vec<_>>()[..] {
                ["down_blocks", _, "resnets", layer, ..] => {
                    let layers = layer.parse::<usize>().map_or(0, |layer| layer.saturating_add(1));
                    found.layers_per_block = found.layers_per_block.max(layers);
                }
                ["up_blocks", block, what, ..] => found.up_block(block, what == "attentions"),
                _ => {}
            }
        }
        found
    }

    /// From the UNet's names in LDM, as `input_blocks.4.1.proj_in.weight`.
    pub(crate) fn of_ldm<'a>(names: impl Iterator<Item = &'a str>) -> Numbering {
        let (mut inputs, mut first_down, mut last_ups) = (0, usize::MAX, Vec::new());
        for name in names {
            match name.split('.').collect::<Vec<_>>()[..] {
                ["input_blocks", block, "0", what, ..] => {
                    let Ok(block) = block.parse::<usize>() else { continue };
                    inputs = inputs.max(block);
                    if what == "op" {
                        first_down = first_down.min(block);
                    }
                }
                ["output_blocks", block, place @ ("1" | "2"), "conv", ..] => {
                    last_ups.extend(block.parse::<usize>().map(|block| (block, place == "2")));
                }
                _ => {}
            }
        }
        let layers_per_block = if first_down == usize::MAX { inputs } else { first_down.saturating_sub(1) };
        let mut found = Numbering { layers_per_block, up_attention: Vec::new() };
        for (block, attention) in last_ups {
            found.up_block(&(block / (layers_per_block + 1)).to_string(), attention);
        }
        found
    }

    /// Residual blocks in a down block; `None` when no block was found.
    pub(crate) fn layers_per_block(&self) -> Option<usize> {
        (self.layers_per_block > 0).then_some(self.layers_per_block)
    }

    fn up_block(&mut self, block: &str, attention: bool) {
        // More blocks than any UNet has are no UNet's.
        let Some(block) = block.parse::<usize>().ok().filter(|block| *block < 64) else { return };
        if self.up_attention.len() <= block {
            self.up_attention.resize(block + 1, false);
        }
        self.up_attention[block] |= attention;
    }

    /// LDM's name for diffusers' name of a layer or of a tensor in it; `None` where LDM has no such layer.
    pub(crate) fn ldm(&self, name: &str) -> Option<String> {
        let n = self.layers_per_block;
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number < 64);
        let parts: Vec<&str> = name.split('.').collect();
        let (head, rest) = match &parts[..] {
            ["conv_in", rest @ ..] => ("input_blocks.0.0".to_owned(), rest),
            ["conv_norm_out", rest @ ..] => ("out.0".to_owned(), rest),
            ["conv_out", rest @ ..] => ("out.2".to_owned(), rest),
            ["time_embedding", layer, rest @ ..] => (format!("time_embed.{}", embedding(layer)?), rest),
            ["add_embedding" | "class_embedding", layer, rest @ ..] => {
                (format!("label_emb.0.{}", embedding(layer)?), rest)
            }
            ["down_blocks", block, part, layer, rest @ ..] => {
                let (block, layer) = (number(block)?, number(layer)?);
                let place = block * (n + 1) + layer + 1;
                match (*part, rest) {
                    ("resnets", rest) => return resnet(&format!("input_blocks.{place}.0"), rest),
                    ("attentions", rest) => (format!("input_blocks.{place}.1"), rest),
                    ("downsamplers", ["conv", rest @ ..]) => {
                        (format!("input_blocks.{}.0.op", (block + 1) * (n + 1)), rest)
                    }
                    _ => return None,
                }
            }
            ["mid_block", "resnets", layer, rest @ ..] => {
                return resnet(&format!("middle_block.{}", number(layer)? * 2), rest);
            }
            ["mid_block", "attentions", "0", rest @ ..] => ("middle_block.1".to_owned(), rest),
            ["up_blocks", block, part, layer, rest @ ..] => {
                let (block, layer) = (number(block)?, number(layer)?);
                let place = block * (n + 1) + layer;
                match (*part, rest) {
                    ("resnets", rest) => return resnet(&format!("output_blocks.{place}.0"), rest),
                    ("attentions", rest) => (format!("output_blocks.{place}.1"), rest),
                    ("upsamplers", ["conv", rest @ ..]) => {
                        let behind = 1 + usize::from(*self.up_attention.get(block)?);
                        (format!("output_blocks.{}.{behind}.conv", block * (n + 1) + n), rest)
                    }
                    _ => return None,
                }
            }
            _ => return None,
        };
        Some(join(&head, rest))
    }
}

fn embedding(layer: &str) -> Option<&'static str> {
    match layer {
        "linear_1" => Some("0"),
        "linear_2" => Some("2"),
        _ => None,
    }
}

fn resnet(head: &str, rest: &[&str]) -> Option<String> {
    let [layer, rest @ ..] = rest else { return None };
    let layer = match *layer {
        "norm1" => "in_layers.0",
        "conv1" => "in_layers.2",
        "time_emb_proj" => "emb_layers.1",
        "norm2" => "out_layers.0",
        "conv2" => "out_layers.3",
        "conv_shortcut" => "skip_connection",
        _ => return None,
    };
    Some(join(&format!("{head}.{layer}"), rest))
}

fn join(head: &str, rest: &[&str]) -> String {
    let mut name = head.to_owned();
    for part in rest {
        name.push('.');
        name.push_str(part);
    }
    name
}
