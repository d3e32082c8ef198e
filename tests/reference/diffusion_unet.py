"""Reference numbers of the denoising network and of its adapters' training: diffusers, peft and torch.optim.AdamW.

    python tests/reference/diffusion_unet.py

writes, beside this file, diffusion_unet.safetensors: what networks of four shapes predict, gradients of every adapter at the first
two steps of training, losses and adapters of fifty. Weights and inputs follow from names by `recipe`, which the Rust tests repeat.
The configurations lie in diffusion_unet.json.
"""
import json
from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig
from safetensors.torch import save_file

from diffusion_recipe import filled, recipe, weight

HERE = Path(__file__).parent
torch.set_num_threads(1)

CROSS_DOWN, CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
CONFIGS = {
    "sd15": dict(sample_size=8, block_out_channels=(16, 24, 32), norm_num_groups=8, layers_per_block=2, cross_attention_dim=20, attention_head_dim=4,
        down_block_types=(CROSS_DOWN, CROSS_DOWN, "DownBlock2D"), up_block_types=("UpBlock2D", CROSS_UP, CROSS_UP)),
    "sd2": dict(sample_size=8, block_out_channels=(16, 32), norm_num_groups=8, layers_per_block=1, cross_attention_dim=24, attention_head_dim=(2, 4),
        use_linear_projection=True, upcast_attention=True, down_block_types=(CROSS_DOWN, "DownBlock2D"), up_block_types=("UpBlock2D", CROSS_UP)),
    "sdxl": dict(sample_size=8, block_out_channels=(16, 32, 48), norm_num_groups=8, layers_per_block=2, cross_attention_dim=40, attention_head_dim=(2, 4, 6),
        transformer_layers_per_block=(1, 2, 3), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=72, down_block_types=("DownBlock2D", CROSS_DOWN, CROSS_DOWN), up_block_types=(CROSS_UP, CROSS_UP, "UpBlock2D")),
    "lcm": dict(sample_size=8, block_out_channels=(16, 32), norm_num_groups=16, layers_per_block=1, cross_attention_dim=24, attention_head_dim=4, time_cond_proj_dim=12,
        down_block_types=(CROSS_DOWN, "DownBlock2D"), up_block_types=("UpBlock2D", CROSS_UP)),
    "embedded": dict(sample_size=16, in_channels=8, out_channels=8, layers_per_block=1, block_out_channels=(64, 128, 192), norm_num_groups=16,
        down_block_types=("DownBlock2D", CROSS_DOWN, CROSS_DOWN), up_block_types=(CROSS_UP, CROSS_UP, "UpBlock2D"), cross_attention_dim=128, attention_head_dim=4),
}
TRAINED = dict(sample_size=8, block_out_channels=(16, 32), norm_num_groups=8, layers_per_block=1, cross_attention_dim=24, attention_head_dim=4,
    down_block_types=("DownBlock2D", CROSS_DOWN), up_block_types=(CROSS_UP, "UpBlock2D"))
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2", "conv_shortcut", "time_emb_proj",
    "downsamplers.0.conv", "upsamplers.0.conv"]
STEPS, RANK, ALPHA, RATE, DECAY = 50, 2, 3.0, 1e-3, 1e-2


def network(config) -> UNet2DConditionModel:
    model = filled(UNet2DConditionModel(**config))
    model.set_attn_processor(AttnProcessor())
    return model


def predictions(out):
    for name, config in CONFIGS.items():
        model = network(config)
        size, tokens = config["sample_size"], 7
        given = {}
        if "addition_embed_type" in config:
            ids = torch.tensor([[64, 48, 0, 4, 64, 64], [32, 32, 8, 0, 40, 64]])
            given["added_cond_kwargs"] = dict(text_embeds=recipe("text_embeds", (2, 24)), time_ids=ids)
        if "time_cond_proj_dim" in config:
            from diffusers import LatentConsistencyModelPipeline
            embed = LatentConsistencyModelPipeline.get_guidance_scale_embedding
            given["timestep_cond"] = embed(None, torch.tensor([7.5, 1.25]), embedding_dim=config["time_cond_proj_dim"])
        latents = recipe("latents", (2, config.get("in_channels", 4), size, size))
        hidden = recipe("hidden", (2, tokens, config["cross_attention_dim"]))
        with torch.no_grad():
            out[f"{name}.prediction"] = model(latents, torch.tensor([981, 13]), hidden, **given).sample


def training(out):
    model = network(TRAINED)
    model.requires_grad_(False)
    model.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS))
    adapters = {}
    for name, value in model.named_parameters():
        if value.requires_grad:
            short = name.replace(".default.weight", "").replace(".base_layer", "")
            adapters[short] = value
            with torch.no_grad():
                value.copy_(weight(short, value.shape) / 3**0.5 if "lora_A" in short else torch.zeros_like(value))
    optimizer = torch.optim.AdamW(adapters.values(), lr=RATE, weight_decay=DECAY)
    alphas = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).alphas_cumprod
    generator = torch.Generator().manual_seed(5)
    losses, times = [], torch.randint(0, 1000, (STEPS, 2), generator=generator)
    for step in range(STEPS):
        clean, noise = recipe(f"clean.{step % 4}", (2, 4, 8, 8)), recipe(f"noise.{step}", (2, 4, 8, 8)) * 3**0.5
        alpha = alphas[times[step]].view(2, 1, 1, 1)
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        loss = (model(noisy, times[step], recipe(f"hidden.{step % 4}", (2, 7, 24))).sample - noise).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if step < 2:
            for name, value in adapters.items():
                if step > 0 or "lora_B" in name:
                    out[f"gradient{step + 1}.{name}"] = value.grad.clone()
        optimizer.step()
        if step == 0:
            out.update((f"second.{name}", value.detach().clone()) for name, value in adapters.items() if "lora_B" in name)
        losses.append(loss.item())
    out["losses"], out["times"], out["alphas"] = torch.tensor(losses), times.float(), alphas[times]
    for name, value in adapters.items():
        out[f"trained.{name}"] = value.detach()
    print(f"{len(adapters)} adapters, losses {losses[0]:.5f} to {losses[-1]:.5f}")


def main():
    out = {}
    predictions(out)
    training(out)
    save_file({name: value.contiguous() for name, value in out.items()}, HERE / "diffusion_unet.safetensors")
    (HERE / "diffusion_unet.json").write_text(json.dumps({**CONFIGS, "trained": TRAINED}, indent=1) + "\n")


if __name__ == "__main__":
    main()
