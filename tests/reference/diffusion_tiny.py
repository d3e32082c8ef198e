"""The shape of a tiny model of Stable Diffusion's kind, for tests that draw and train in seconds: configurations, and every weight's
name and shape as diffusers and transformers have them.

    python tests/reference/diffusion_tiny.py

writes tests/fixtures/diffusion/tiny.json. Whoever uses it fills the weights with numbers of a seed.
"""
import json
from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

FIXTURES = Path(__file__).parent.parent / "fixtures" / "diffusion"
VOCABULARY = len(json.loads((FIXTURES / "tokenizer" / "vocab.json").read_text()))

unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(32, 32), layers_per_block=1, norm_num_groups=8, cross_attention_dim=32, attention_head_dim=4,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
)  # fmt: skip
vae = AutoencoderKL(
    block_out_channels=(8, 8, 16, 16), layers_per_block=1, norm_num_groups=4, sample_size=64,
    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
)  # fmt: skip
text = CLIPTextModel(CLIPTextConfig(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=16,
    bos_token_id=VOCABULARY - 2, eos_token_id=VOCABULARY - 1, pad_token_id=VOCABULARY - 1,
))  # fmt: skip
scheduler = DDIMScheduler(
    beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1,
)  # fmt: skip


def shapes(model):
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items() if not name.endswith("position_ids")}


described = {
    "unet": {"config": dict(unet.config), "weights": shapes(unet)},
    "vae": {"config": dict(vae.config), "weights": shapes(vae)},
    "text_encoder": {"config": json.loads(text.config.to_json_string()), "weights": shapes(text)},
    "scheduler": {"config": {**dict(scheduler.config), "_class_name": "DDIMScheduler"}},
}
lines = []
for component, parts in described.items():
    weights = ",\n".join(f"   {json.dumps(name)}: {json.dumps(shape)}" for name, shape in parts.get("weights", {}).items())
    lines.append(f' "{component}": {{\n  "config": {json.dumps(parts["config"])},\n  "weights": {{\n{weights}\n  }}\n }}')
(FIXTURES / "tiny.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
