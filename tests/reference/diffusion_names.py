"""Which tensors of single files diffusers' converters take for which of its own, and what they are made of.

    python tests/reference/diffusion_names.py

writes diffusion_names/{sd15,sd2,sdxl}.safetensors and their diffusers.json beside this file. Each is a checkpoint
with the real names of its kind and small shapes, every tensor filled by `recipe` from its name; the JSON gives, by
component, for every tensor that diffusers' converter makes of it the shape and three of its values.
sd15_unet_keymap.json holds the whole map of SD 1.5's UNet as diffusers' converter took it, 686 tensors.
"""
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as ldm
from safetensors.torch import save_file

HERE = Path(__file__).parent / "diffusion_names"
CROSS_DOWN, CROSS_UP, DOWN, UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D", "DownBlock2D", "UpBlock2D"
SMALL = dict(norm_num_groups=2, layers_per_block=2)
KINDS = {
    "sd15": dict(SMALL, block_out_channels=(4, 8, 8, 8), cross_attention_dim=6, attention_head_dim=2,
        down_block_types=(CROSS_DOWN,) * 3 + (DOWN,), up_block_types=(UP,) + (CROSS_UP,) * 3),
    "sd2": dict(SMALL, block_out_channels=(4, 8, 8, 8), cross_attention_dim=6, attention_head_dim=(1, 2, 2, 2), use_linear_projection=True,
        down_block_types=(CROSS_DOWN,) * 3 + (DOWN,), up_block_types=(UP,) + (CROSS_UP,) * 3),
    "sdxl": dict(SMALL, block_out_channels=(4, 8, 8), cross_attention_dim=6, attention_head_dim=(1, 2, 2), use_linear_projection=True,
        transformer_layers_per_block=(1, 2, 3), addition_embed_type="text_time", addition_time_embed_dim=2, projection_class_embeddings_input_dim=10,
        down_block_types=(DOWN, CROSS_DOWN, CROSS_DOWN), up_block_types=(CROSS_UP, CROSS_UP, UP)),
}


def recipe(name, shape):
    seed = 2166136261
    for byte in name.encode():
        seed = (seed ^ byte) * 16777619 % 2**32
    x = (np.arange(int(np.prod(shape)), dtype=np.uint64) * 0x9E3779B9 + seed) % 2**32
    return torch.from_numpy((x / 2**31 - 1).astype(np.float32)).reshape(tuple(shape)).half()


def convert_unet(config, checkpoint):
    diffusers = dict(UNet2DConditionModel(**config).config)
    return ldm.convert_ldm_unet_checkpoint(dict(checkpoint), diffusers)


def real_unet(config):
    """The names and shapes of such a UNet's checkpoint; that they are right shows when the converter makes diffusers' own of them."""
    shapes = {name: value.shape for name, value in UNet2DConditionModel(**config).state_dict().items()}
    n, names = config["layers_per_block"], {}
    static = ldm.DIFFUSERS_TO_LDM_MAPPING["unet"]
    for table in (static["layers"], static["addition_embed_type"]):
        names.update({old: new for new, old in table.items() if new in shapes})
    resnet = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
    for name in shapes:
        part = name.split(".")
        if part[0] not in ("down_blocks", "up_blocks", "mid_block"):
            continue
        if part[0] == "mid_block":
            place = {("resnets", "0"): 0, ("attentions", "0"): 1, ("resnets", "1"): 2}[part[1], part[2]]
            head, rest = f"middle_block.{place}", part[3:]
        else:
            side = "input" if part[0] == "down_blocks" else "output"
            block, layer = int(part[1]), int(part[3])
            place = block * (n + 1) + layer + (side == "input")
            third = 0 if part[2] == "resnets" else 1
            if part[2] == "downsamplers":
                place, third = (block + 1) * (n + 1), 0
            if part[2] == "upsamplers":
                place, third = block * (n + 1) + n, 1 + config["up_block_types"][block].startswith("Cross")
            head, rest = f"{side}_blocks.{place}.{third}", part[4:]
            if part[2] == "downsamplers":
                rest = ["op"] + rest[1:]
        if "resnets" in part:
            rest = [resnet[rest[0]]] + rest[1:]
        names[".".join([head] + rest)] = name
    return {f"model.diffusion_model.{old}": shapes[new] for old, new in names.items()}


def vae_names():
    vae = AutoencoderKL(block_out_channels=(4, 8, 8), layers_per_block=2, norm_num_groups=2, latent_channels=4, down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3)
    old = {}
    for name, value in vae.state_dict().items():
        part = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        for i in range(3):
            part = part.replace(f"decoder.up_blocks.{i}.", f"decoder.up.{2 - i}.").replace(f"encoder.down_blocks.{i}.", f"encoder.down.{i}.")
        part = part.replace("downsamplers.0", "downsample").replace("upsamplers.0", "upsample")
        part = part.replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2").replace(".resnets.", ".block.")
        shape = value.shape
        if "mid_block.attentions.0" in part:
            part = part.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm").replace("to_out.0", "proj_out")
            part = part.replace("to_q", "q").replace("to_k", "k").replace("to_v", "v")
            shape = shape if len(shape) == 1 else (*shape, 1, 1)
        old[f"first_stage_model.{part}"] = shape
    return vae, old


def clip_names(prefix, layers=2, width=8):
    names = {"embeddings.token_embedding.weight": (12, width), "embeddings.position_embedding.weight": (5, width), "final_layer_norm.weight": (width,), "final_layer_norm.bias": (width,)}
    for i in range(layers):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            names |= {f"encoder.layers.{i}.self_attn.{part}.weight": (width, width), f"encoder.layers.{i}.self_attn.{part}.bias": (width,)}
        for norm in ("layer_norm1", "layer_norm2"):
            names |= {f"encoder.layers.{i}.{norm}.weight": (width,), f"encoder.layers.{i}.{norm}.bias": (width,)}
        names |= {f"encoder.layers.{i}.mlp.fc1.weight": (16, width), f"encoder.layers.{i}.mlp.fc1.bias": (16,), f"encoder.layers.{i}.mlp.fc2.weight": (width, 16), f"encoder.layers.{i}.mlp.fc2.bias": (width,)}
    return {f"{prefix}text_model.{name}": shape for name, shape in names.items()}


def open_clip_names(prefix, layers=3, width=8):
    names = {"token_embedding.weight": (12, width), "positional_embedding": (5, width), "ln_final.weight": (width,), "ln_final.bias": (width,), "text_projection": (width, width), "logit_scale": ()}
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        names |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,), f"{block}.attn.out_proj.weight": (width, width), f"{block}.attn.out_proj.bias": (width,)}
        names |= {f"{block}.ln_1.weight": (width,), f"{block}.ln_1.bias": (width,), f"{block}.ln_2.weight": (width,), f"{block}.ln_2.bias": (width,)}
        names |= {f"{block}.mlp.c_fc.weight": (16, width), f"{block}.mlp.c_fc.bias": (16,), f"{block}.mlp.c_proj.weight": (width, 16), f"{block}.mlp.c_proj.bias": (width,)}
    return {prefix + name: shape for name, shape in names.items()}


def summary(converted):
    def values(tensor):
        flat = tensor.float().flatten()
        return [flat[0].item(), flat[len(flat) // 3].item(), flat[-1].item()]

    return {name: [list(tensor.shape), values(tensor)] for name, tensor in sorted(converted.items())}


HERE.mkdir(exist_ok=True)
for kind, config in KINDS.items():
    vae, vae_shapes = vae_names()
    shapes = real_unet(config) | vae_shapes
    if kind == "sd15":
        shapes |= clip_names("cond_stage_model.transformer.")
    if kind == "sd2":
        shapes |= open_clip_names("cond_stage_model.model.")
    if kind == "sdxl":
        shapes |= clip_names("conditioner.embedders.0.transformer.") | open_clip_names("conditioner.embedders.1.model.")
    checkpoint = {name: recipe(name, shape) for name, shape in shapes.items()}
    made = {"unet": convert_unet(config, checkpoint)}
    assert set(made["unet"]) == set(UNet2DConditionModel(**config).state_dict()), "the converter makes another network"
    made["vae"] = ldm.convert_ldm_vae_checkpoint(dict(checkpoint), dict(vae.config))
    # The converter leaves the old names of attention, which loading renames.
    rename = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
    for old, new in rename.items():
        made["vae"] = {name.replace(old, new): value for name, value in made["vae"].items()}
    assert set(made["vae"]) == set(vae.state_dict())
    if kind in ("sd15", "sdxl"):
        made["text_encoder"] = ldm.convert_ldm_clip_checkpoint({k: v for k, v in checkpoint.items() if ".transformer.text_model" in k})
    model = SimpleNamespace(config=SimpleNamespace(hidden_size=8))
    if kind == "sd2":
        made["text_encoder"] = ldm.convert_open_clip_checkpoint(model, dict(checkpoint), prefix="cond_stage_model.model.")
    if kind == "sdxl":
        made["text_encoder_2"] = ldm.convert_open_clip_checkpoint(model, dict(checkpoint), prefix="conditioner.embedders.1.model.")
    save_file({name: value.contiguous() for name, value in checkpoint.items()}, HERE / f"{kind}.safetensors")
    (HERE / f"{kind}.json").write_text(json.dumps({part: summary(tensors) for part, tensors in made.items()}, separators=(",", ":")) + "\n")
    print(kind, {part: len(tensors) for part, tensors in made.items()})
