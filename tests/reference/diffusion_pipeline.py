"""Reference numbers of CLIP's tokenizer and text encoders, the autoencoder and whole pictures: transformers, diffusers and peft.

    python tests/reference/diffusion_pipeline.py

writes tests/fixtures/diffusion/tokenizer/ and, beside this file, diffusion_text.json and diffusion_text.safetensors (tokens, hidden
states, gradients), diffusion_vae.safetensors (latents and pictures), diffusion_pictures.json (configurations) and
diffusion_pictures.safetensors (ten steps of each scheduler). Weights and inputs follow from names by `recipe`, which the Rust tests repeat, so that only outputs are stored.
"""
import json
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from diffusers import (AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline,
    StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel)
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from diffusion_recipe import filled, recipe

HERE = Path(__file__).parent
TOKENIZER = HERE.parent / "fixtures" / "diffusion" / "tokenizer"
torch.set_num_threads(1)

MERGES = """r o|o b|b o|ro bo|robo t</w>|a n|an d</w>|r e|re d</w>|h a|ha t</w>|w i|t h</w>|wi th</w>|p or|o r|p or|t r|a i|ai t</w>|l o|lo n|lon g</w>|' s</w>""".split("|")
TEXTS = [
    "", "a robot with a red hat", "A  ROBOT,\n wearing\ta Red hat!!", "it's the robot's; they're 42 and 7.5", "café Straße ÅNGSTRÖM ﬁn", "日本語 robot 😀😀 hat",
    "under_score (brackets) [square] <tag> a&b", "ROBOTand robothat", "'s 'tis 'twas o'clock", "a, b, c; d: e. f", "red" * 7, "e\u0301 i\u0307",
]
PROMPTS = ["a robot with a red hat", "a long portrait and a hat"]
NEGATIVE = "red and long"


def noise(name: str, shape) -> torch.Tensor:
    """Uniform, with the variance of a normal."""
    return recipe(name, shape) * np.float32(np.sqrt(3))


def make_tokenizer() -> CLIPTokenizer:
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    merges = list(dict.fromkeys(MERGES))
    tokens = dict.fromkeys(letters + [l + "</w>" for l in letters] + [m.replace(" ", "") for m in merges] + ["<|startoftext|>", "<|endoftext|>"])
    TOKENIZER.mkdir(parents=True, exist_ok=True)
    (TOKENIZER / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    (TOKENIZER / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    CLIPTokenizer.from_pretrained(TOKENIZER, model_max_length=16).save_pretrained(TOKENIZER)
    return CLIPTokenizer.from_pretrained(TOKENIZER)


def text_config(tokenizer, **changed):
    config = dict(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=16, hidden_act="quick_gelu",
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id, projection_dim=32)
    return CLIPTextConfig(**{**config, **changed}, attn_implementation="eager")


SECOND = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=4, num_attention_heads=3, hidden_act="gelu", projection_dim=24, eos_token_id=2)


def text(tokenizer):
    out = {}
    ids = tokenizer(PROMPTS + [""], padding="max_length", max_length=16, return_tensors="pt").input_ids
    first = filled(CLIPTextModel(text_config(tokenizer)))
    second = filled(CLIPTextModelWithProjection(text_config(tokenizer, **SECOND)))
    with torch.no_grad():
        states = first(ids, output_hidden_states=True)
        norm = first.final_layer_norm if hasattr(first, "final_layer_norm") else first.text_model.final_layer_norm
        out["first.final"], out["first.skip"] = states.last_hidden_state, norm(states.hidden_states[-2])
        states = second(ids, output_hidden_states=True)
        out["second.penultimate"], out["second.pooled"] = states.hidden_states[-2], states.text_embeds

    # Two embeddings beyond the table, adapters on every layer, and the gradients of both.
    size = len(tokenizer)
    first.resize_token_embeddings(size + 2, mean_resizing=False)
    targets = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
    adapted = get_peft_model(first, LoraConfig(r=2, lora_alpha=6, target_modules=targets))
    table = first.get_input_embeddings().weight
    with torch.no_grad():
        table[size:] = recipe("triggers", (2, 32)) * 0.2
        for name, value in adapted.named_parameters():
            if "lora_" in name:
                short = name.removeprefix("base_model.model.").removeprefix("text_model.").replace(".default.weight", "")
                value.copy_(recipe(short, value.shape) * 0.3)
    table.requires_grad_(True)
    ids = ids[:1].clone()
    ids[0, 3], ids[0, 5] = size, size + 1
    hidden = adapted(ids).last_hidden_state
    (hidden * recipe("loss", hidden.shape)).sum().backward()
    out["adapted"], out["adapted.triggers"] = hidden.detach(), table.grad[size:]
    for name, value in adapted.named_parameters():
        if "lora_" in name:
            short = name.removeprefix("base_model.model.").removeprefix("text_model.").replace(".default.weight", "")
            out[f"adapted.{short}"] = value.grad
    save_file({name: value.contiguous() for name, value in out.items()}, HERE / "diffusion_text.safetensors")
    cases = [{"text": t, "ids": tokenizer(t, add_special_tokens=False).input_ids} for t in TEXTS]
    (HERE / "diffusion_text.json").write_text(json.dumps({"texts": cases}, indent=1) + "\n")


BLOCKS = lambda n: dict(down_block_types=("DownEncoderBlock2D",) * n, up_block_types=("UpDecoderBlock2D",) * n)
VAES = {
    "sd": dict(block_out_channels=(16, 24, 32), layers_per_block=2, latent_channels=4, norm_num_groups=8, sample_size=32, scaling_factor=0.18215, **BLOCKS(3)),
    "embedded": dict(block_out_channels=(16, 24, 32), layers_per_block=1, latent_channels=8, norm_num_groups=1, sample_size=32, scaling_factor=1.0, **BLOCKS(3)),
    "bare": dict(block_out_channels=(16, 32), layers_per_block=1, latent_channels=16, norm_num_groups=4, scaling_factor=1.5305, shift_factor=0.0609, use_quant_conv=False,
        use_post_quant_conv=False, mid_block_add_attention=False, **BLOCKS(2)),
}


def vae():
    out = {}
    for name, config in VAES.items():
        model = filled(AutoencoderKL(**config))
        with torch.no_grad():
            picture = recipe("picture", (2, 3, 24, 32))
            posterior = model.encode(picture).latent_dist
            out[f"{name}.mean"], out[f"{name}.logvar"] = posterior.mean, posterior.logvar
            out[f"{name}.decoded"] = model.decode(noise("latents", posterior.mean.shape)).sample
            if name == "sd":
                model.enable_tiling()
                model.tile_sample_min_size, model.tile_latent_min_size = 32, 8
                out["sd.tiled"] = model.decode(noise("wide", (1, 4, 13, 19))).sample
                out["sd.tiled_mean"] = model.encode(recipe("wide picture", (1, 3, 40, 52))).latent_dist.mean
    save_file({name: value.contiguous() for name, value in out.items()}, HERE / "diffusion_vae.safetensors")


UNET = dict(sample_size=8, layers_per_block=1, norm_num_groups=8)
TWO = dict(block_out_channels=(16, 32), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
SCHEDULE = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1)
SHAPES = {
    "sd15": dict(unet=dict(**UNET, **TWO, cross_attention_dim=32, attention_head_dim=4), vae="sd", guidance=7.5),
    "sd2": dict(unet=dict(**UNET, **TWO, cross_attention_dim=48, attention_head_dim=[2, 4], use_linear_projection=True), vae="sd", guidance=5.0, prediction="v_prediction"),
    "sdxl": dict(unet=dict(**UNET, block_out_channels=(16, 32), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=80, attention_head_dim=[2, 4], transformer_layers_per_block=[1, 2], use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=8, projection_class_embeddings_input_dim=72), vae="sd", guidance=6.0),
    "embedded": dict(unet=dict(**UNET, block_out_channels=(16, 24, 32), in_channels=8, out_channels=8, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=32, attention_head_dim=4), vae="embedded", guidance=3.0, rescale=0.7,
        prediction="v_prediction", schedule=dict(rescale_betas_zero_snr=True, timestep_spacing="trailing", set_alpha_to_one=True, steps_offset=0)),
}


def build(shape, tokenizer):
    unet, auto = filled(UNet2DConditionModel(**shape["unet"])), filled(AutoencoderKL(**VAES[shape["vae"]]))
    schedule = DDIMScheduler(**{**SCHEDULE, **shape.get("schedule", {})}, prediction_type=shape.get("prediction", "epsilon"))
    first = filled(CLIPTextModel(text_config(tokenizer)))
    if shape["unet"].get("addition_embed_type"):
        second = filled(CLIPTextModelWithProjection(text_config(tokenizer, **SECOND)))
        second_tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER, pad_token="!")
        return StableDiffusionXLPipeline(auto, first, second, tokenizer, second_tokenizer, unet, schedule, add_watermarker=False)
    if shape["unet"]["cross_attention_dim"] == 48:
        first = filled(CLIPTextModel(text_config(tokenizer, hidden_size=48, intermediate_size=80, num_attention_heads=3, hidden_act="gelu")))
    return StableDiffusionPipeline(auto, first, tokenizer, unet, schedule, None, None, requires_safety_checker=False)


def decoded(pipe, latents):
    with torch.no_grad():
        return pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample.clamp(-1, 1)


def pictures(tokenizer):
    out = {}
    schedulers = {"ddim": lambda c: DDIMScheduler.from_config(c), "euler": lambda c: EulerDiscreteScheduler.from_config(c),
        "dpmpp_2m_karras": lambda c: DPMSolverMultistepScheduler.from_config(c, use_karras_sigmas=True)}
    for name, shape in SHAPES.items():
        for scheduler, make in schedulers.items():
            pipe = build(shape, tokenizer)
            pipe.set_progress_bar_config(disable=True)
            pipe.scheduler = make(pipe.scheduler.config)
            latents = noise("noise", (2, pipe.unet.config.in_channels, 8, 8))
            got = pipe(PROMPTS, negative_prompt=[NEGATIVE] * 2, height=32, width=32, num_inference_steps=10, guidance_scale=shape["guidance"], guidance_rescale=shape.get("rescale", 0.0),
                latents=latents, output_type="latent").images
            out[f"{name}.{scheduler}"] = decoded(pipe, got)
            print(name, scheduler, "latents up to", float(got.abs().max()), "picture's deviation", float(out[f"{name}.{scheduler}"].std()))

    plans = {name: {**{key: shape[key] for key in ("unet", "vae", "guidance")}, "rescale": shape.get("rescale", 0.0),
        "scheduler": {**SCHEDULE, **shape.get("schedule", {}), "prediction_type": shape.get("prediction", "epsilon")}} for name, shape in SHAPES.items()}
    (HERE / "diffusion_pictures.json").write_text(json.dumps(plans, indent=1) + "\n")

    # From a picture, and into a hole of it: the latent of a picture is the posterior's mean.
    base = build(SHAPES["sd15"], tokenizer)
    parts = dict(vae=base.vae, text_encoder=base.text_encoder, tokenizer=tokenizer, unet=base.unet, scheduler=base.scheduler, safety_checker=None, feature_extractor=None,
        requires_safety_checker=False)
    picture = recipe("picture", (1, 3, 32, 32)) * 0.8
    mask = torch.zeros(1, 1, 32, 32)
    mask[:, :, 8:24, 12:32] = 1
    given = noise("noise", (1, 4, 8, 8))
    module = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_"
    patches = [mock.patch(module + name + ".randn_tensor", lambda *_, **__: given) for name in ("img2img", "inpaint")]
    patches.append(mock.patch("diffusers.models.autoencoders.vae.DiagonalGaussianDistribution.sample", lambda self, generator=None: self.mode()))
    common = dict(negative_prompt=[NEGATIVE], num_inference_steps=10, guidance_scale=7.5, output_type="latent", strength=0.6)
    for patch in patches:
        patch.start()
    pipe = StableDiffusionImg2ImgPipeline(**parts)
    out["img2img"] = decoded(pipe, pipe(PROMPTS[:1], image=picture, **common).images)
    pipe = StableDiffusionInpaintPipeline(**parts)
    filled_in = decoded(pipe, pipe(PROMPTS[:1], image=picture, mask_image=mask, height=32, width=32, **common).images)
    out["inpaint"] = filled_in * mask + picture * (1 - mask)
    save_file({name: value.contiguous() for name, value in out.items()}, HERE / "diffusion_pictures.safetensors")


if __name__ == "__main__":
    tokenizer = make_tokenizer()
    text(tokenizer)
    vae()
    pictures(tokenizer)
