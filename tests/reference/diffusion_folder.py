"""Writes `tests/fixtures/diffusion/folder.json`: the configurations and weight shapes of a Stable Diffusion of widths of
32, by which tests write a model of random weights (`tests/python/tiny_diffusion.py`, `spinbot/studio/tests`).

    python tests/reference/diffusion_folder.py        # diffusers 0.35 or later, transformers, torch
"""

from __future__ import annotations

import json
import pathlib
import re

from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

ROOT = pathlib.Path(__file__).resolve().parents[1]
LENGTH = 16


def main() -> None:
    vocabulary = json.loads((ROOT / "fixtures/diffusion/tokenizer/vocab.json").read_text())
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=8,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocabulary),
            max_position_embeddings=LENGTH,
            eos_token_id=len(vocabulary) - 1,
            bos_token_id=len(vocabulary) - 2,
            pad_token_id=len(vocabulary) - 1,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
        )
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )

    def config(part: object) -> dict:
        known = part.config.to_dict() if hasattr(part.config, "to_dict") else dict(part.config)
        return json.loads(json.dumps({k: v for k, v in known.items() if not k.startswith("_") and v is not None}))

    def component(part: object) -> dict:
        shapes = {name: list(tensor.shape) for name, tensor in part.state_dict().items() if "position_ids" not in name}
        return {"config": config(part), "shapes": shapes}

    folder = {
        "model_index.json": {
            "_class_name": "StableDiffusionPipeline",
            "scheduler": ["diffusers", "DDIMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
        "scheduler": config(scheduler),
        "components": {"unet": component(unet), "vae": component(vae), "text_encoder": component(text)},
    }
    lines = json.dumps(folder, indent=1)
    # One line to a shape.
    packed = re.sub(r"\[\s+([\d,\s]+?)\s+\]", lambda m: "[" + " ".join(m[1].split()) + "]", lines)
    (ROOT / "fixtures/diffusion/folder.json").write_text(packed + "\n")


if __name__ == "__main__":
    main()
