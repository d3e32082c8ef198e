//! The configuration under diffusers' names, and what of it is built.

use crate::error::{ModelError, Result};
use serde::Deserialize;

/// One value for all blocks, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum PerBlock {
    /// For all.
    All(usize),
    /// For each, from the outermost.
    Each(Vec<usize>),
}

impl PerBlock {
    pub(in crate::diffusion) fn at(&self, block: usize) -> usize {
        match self {
            PerBlock::All(value) => *value,
            PerBlock::Each(values) => values[block],
        }
    }

    fn fits(&self, blocks: usize) -> bool {
        match self {
            PerBlock::All(_) => true,
            PerBlock::Each(values) => values.len() == blocks,
        }
    }

    /// Whether all lie in that range.
    fn within(&self, range: std::ops::RangeInclusive<usize>) -> bool {
        match self {
            PerBlock::All(value) => range.contains(value),
            PerBlock::Each(values) => values.iter().all(|value| range.contains(value)),
        }
    }
}

/// `config.json` of diffusers' `UNet2DConditionModel`, with its defaults for what is missing. Fields whose other
/// values are refused by [`UNetConfig::from_json`] are not repeated here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "diffusers' documentation of UNet2DConditionModel says what each is")]
pub struct UNetConfig {
    pub sample_size: Option<usize>,
    pub in_channels: usize,
    pub out_channels: usize,
    pub center_input_sample: bool,
    pub flip_sin_to_cos: bool,
    pub freq_shift: f32,
    pub down_block_types: Vec<String>,
    pub up_block_types: Vec<String>,
    pub block_out_channels: Vec<usize>,
    pub layers_per_block: PerBlock,
    pub norm_num_groups: usize,
    pub norm_eps: f64,
    pub cross_attention_dim: PerBlock,
    pub transformer_layers_per_block: PerBlock,
    /// The number of heads, against its name.
    pub attention_head_dim: PerBlock,
    pub use_linear_projection: bool,
    pub upcast_attention: bool,
    pub addition_embed_type: Option<String>,
    pub addition_time_embed_dim: Option<usize>,
    pub projection_class_embeddings_input_dim: Option<usize>,
    pub time_cond_proj_dim: Option<usize>,
    pub conv_in_kernel: usize,
    pub conv_out_kernel: usize,
}

impl Default for UNetConfig {
    fn default() -> Self {
        let names = |names: [&str; 4]| names.map(str::to_owned).to_vec();
        let cross = "CrossAttnDownBlock2D";
        UNetConfig {
            sample_size: None,
            in_channels: 4,
            out_channels: 4,
            center_input_sample: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            down_block_types: names([cross, cross, cross, "DownBlock2D"]),
            up_block_types: names([
                "UpBlock2D",
                "CrossAttnUpBlock2D",
                "CrossAttnUpBlock2D",
                "CrossAttnUpBlock2D",
            ]),
            block_out_channels: vec![320, 640, 1280, 1280],
            layers_per_block: PerBlock::All(2),
            norm_num_groups: 32,
            norm_eps: 1e-5,
            cross_attention_dim: PerBlock::All(1280),
            transformer_layers_per_block: PerBlock::All(1),
            attention_head_dim: PerBlock::All(8),
            use_linear_projection: false,
            upcast_attention: false,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            projection_class_embeddings_input_dim: None,
            time_cond_proj_dim: None,
            conv_in_kernel: 3,
            conv_out_kernel: 3,
        }
    }
}

/// Fields of which one value is built, as JSON; `null` and absence stand for it too.
const BUILT: [(&str, &str); 19] = [
    ("act_fn", "\"silu\""),
    ("attention_type", "\"default\""),
    ("class_embed_type", "null"),
    ("class_embeddings_concat", "false"),
    ("cross_attention_norm", "null"),
    ("downsample_padding", "1"),
    ("dual_cross_attention", "false"),
    ("encoder_hid_dim", "null"),
    ("encoder_hid_dim_type", "null"),
    ("mid_block_type", "\"UNetMidBlock2DCrossAttn\""),
    ("num_attention_heads", "null"),
    ("num_class_embeds", "null"),
    ("only_cross_attention", "false"),
    ("resnet_skip_time_act", "false"),
    ("resnet_time_scale_shift", "\"default\""),
    ("reverse_transformer_layers_per_block", "null"),
    ("time_embedding_act_fn", "null"),
    ("time_embedding_dim", "null"),
    ("timestep_post_act", "null"),
];

fn refuse(reason: String) -> ModelError {
    ModelError::Weights { model: "UNet2DConditionModel".into(), reason }
}

impl UNetConfig {
    /// Reads the bytes of a `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Weights`] when it is no such file or asks for parts that are not built.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let unreadable = |e: serde_json::Error| refuse(format!("its config.json: {e}"));
        let value: serde_json::Value = serde_json::from_slice(json).map_err(unreadable)?;
        for (field, built) in BUILT {
            let given = value.get(field).map_or_else(|| "null".to_owned(), ToString::to_string);
            if given != "null" && given != built {
                return Err(refuse(format!("its config.json has `{field}` {given}; built is {built}")));
            }
        }
        for field in ["mid_block_scale_factor", "resnet_out_scale_factor"] {
            if value.get(field).and_then(serde_json::Value::as_f64).is_some_and(|factor| factor != 1.0) {
                return Err(refuse(format!("its config.json has a `{field}` other than 1")));
            }
        }
        if value.get("mid_block_type").is_some_and(serde_json::Value::is_null) {
            return Err(refuse("its config.json has no middle block".into()));
        }
        let config: UNetConfig = serde_json::from_value(value).map_err(unreadable)?;
        config.check()?;
        Ok(config)
    }

    /// Whether it describes a network that can be built.
    pub(super) fn check(&self) -> Result<()> {
        let blocks = self.block_out_channels.len();
        let known = |names: &[String], built: [&str; 2]| {
            let unknown = names.iter().find(|name| !built.contains(&name.as_str()));
            unknown.map_or(Ok(()), |name| Err(refuse(format!("blocks of type `{name}` are not built"))))
        };
        known(&self.down_block_types, ["DownBlock2D", "CrossAttnDownBlock2D"])?;
        known(&self.up_block_types, ["UpBlock2D", "CrossAttnUpBlock2D"])?;
        if !(1..=8).contains(&blocks)
            || self.down_block_types.len() != blocks
            || self.up_block_types.len() != blocks
            || ![
                &self.layers_per_block,
                &self.cross_attention_dim,
                &self.transformer_layers_per_block,
                &self.attention_head_dim,
            ]
            .iter()
            .all(|values| values.fits(blocks))
        {
            return Err(refuse(
                "its config.json has lists of different lengths, or more than 8 blocks".into(),
            ));
        }
        let heads_divide = |(block, channels): (usize, &usize)| {
            let heads = self.attention_head_dim.at(block);
            heads > 0 && channels.is_multiple_of(heads)
        };
        let divide = |channels: &usize| {
            (2..=1 << 16).contains(channels) && channels.is_multiple_of(self.norm_num_groups)
        };
        if self.norm_num_groups == 0
            || !self.block_out_channels.iter().all(divide)
            || !self.block_out_channels.iter().enumerate().all(heads_divide)
        {
            return Err(refuse("its channels do not divide into its groups and heads".into()));
        }
        if !self.layers_per_block.within(1..=64) || !self.transformer_layers_per_block.within(0..=256) {
            return Err(refuse("its config.json has blocks without layers, or with too many".into()));
        }
        match self.addition_embed_type.as_deref() {
            None => Ok(()),
            Some("text_time")
                if self.addition_time_embed_dim.is_some()
                    && self.projection_class_embeddings_input_dim.is_some() =>
            {
                Ok(())
            }
            Some("text_time") => {
                Err(refuse("its config.json does not say how wide the added embeddings are".into()))
            }
            Some(other) => Err(refuse(format!("added embeddings of type `{other}` are not built"))),
        }
    }
}
