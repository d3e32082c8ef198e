"""Trains the UNet and the text encoder together on cached latents.  usage: train_unet.py PORTRAITS VAE RUN [--samples N]
VAE is an exported autoencoder (diffusers layout). Stop with SIGTERM; the same command goes on from the checkpoint. RUN gets
tokenizer/, latents/, log.jsonl (fixed validation loss and attribute scores beside their ceilings), grid_*.png and best/
(unet, text_encoder, scheduler of the lowest validation loss, averaged weights, float32)."""

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import tokenizer as bpe
from autoencoder import LATENT_CHANNELS, save_grid
from captions import caption
from latents import AttributeProbe, cached
from optimizer import Trainer
from portraits import Portraits, load_attributes
from run import STOPPED, Run

SEED, DROP_CAPTION = 1, 0.1
LOG_EVERY, EVALUATE_EVERY = 50, 1500
VALIDATION, CHECKED, SAMPLER_STEPS, GUIDANCE = 256, 64, 20, 3.0
PROMPTS = [
    "portrait of a person, red background", "portrait of a person, blue background, yellow t-shirt", "a robot, teal metal, smiling, purple background", "outlined cartoon portrait of a man, full beard, green hoodie, orange background",
    "flat cartoon portrait of a person, long blonde hair, laughing, red dress, at the beach", "portrait of a person, black afro, sunglasses, pink suit, white background", "a cat wearing a blue top hat, yellow background",
    "portrait of a person, round glasses, ginger bun, surprised, black background", "portrait of a person on a stage, red curtain", "a sad robot, white metal, in space", "sketch portrait of a person, bald, angry, green background",
    "ink drawing of a person, blue hair, smiling, pink background", "a person with green skin and a red mohawk, night sky", "a bear, brown fur, striped shirt, in a forest", "portrait of a person, a crown, purple sweater, teal background", "shaded cartoon portrait of a person, brown curly hair, yellow jersey",
]


def build(tok: CLIPTokenizer) -> tuple[UNet2DConditionModel, CLIPTextModel, DDIMScheduler]:
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=LATENT_CHANNELS, out_channels=LATENT_CHANNELS, layers_per_block=1, block_out_channels=(64, 128, 192), norm_num_groups=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128, attention_head_dim=4,  # the number of heads, as in SD 1.5
    )
    unet.set_attn_processor(AttnProcessor())  # plain products: the fused kernel's backward is slower on a CPU
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tok), hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=bpe.LENGTH, hidden_act="quick_gelu",
        bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id, pad_token_id=tok.eos_token_id, attn_implementation="eager",
    ))
    # Zero terminal SNR (Lin et al. 2023, arXiv:2305.08891): with SD's usual end of the schedule a plain background's mean leaks through
    # the last noise level, and sampling from pure noise then never reaches a full colour.
    scheduler = DDIMScheduler(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction", clip_sample=False,
        set_alpha_to_one=True, rescale_betas_zero_snr=True, timestep_spacing="trailing",
    )
    return unet, text, scheduler


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser()
    p.add_argument("portraits", type=Path)
    p.add_argument("vae", type=Path)
    p.add_argument("run", type=Path)
    p.add_argument("--samples", type=int, default=640_000)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--lr", type=float, default=1.5e-3)
    p.add_argument("--threads", type=int, default=1)
    return p.parse_args()


def main():
    o = arguments()
    torch.set_num_threads(o.threads)
    torch.manual_seed(SEED)
    data = Portraits(o.portraits)
    steps = o.samples // o.batch
    run = Run(o.run, {"vae": str(o.vae.name), "batch": o.batch, "lr": o.lr, "steps": steps, "pictures": len(data)})
    attributes, held_attributes = data.attributes(), load_attributes(o.portraits / "heldout.jsonl")
    if not (o.run / "tokenizer" / "vocab.json").exists():
        rng = random.Random(SEED)
        bpe.train([caption(a, rng) for a in attributes[:20000]], o.run / "tokenizer")
    tok = CLIPTokenizer.from_pretrained(o.run / "tokenizer")
    vae = AutoencoderKL.from_pretrained(o.vae).eval().requires_grad_(False)
    shards, heldout = cached(vae, data, o.run / "latents", lambda: run.stopping)
    unet, text, scheduler = build(tok)
    alphas = scheduler.alphas_cumprod
    named = [(f"unet.{n}", p) for n, p in unet.named_parameters()] + [(f"text.{n}", p) for n, p in text.named_parameters()]
    trainer = Trainer(named, lr=o.lr, adam_lr=1e-3, total=steps, plain=("conv_in", "conv_out", "embedding"), average=0.9995, weight_decay=0.01)

    def tokens(texts: list[str]) -> torch.Tensor:
        return torch.tensor(tok(texts, padding="max_length", truncation=True, max_length=bpe.LENGTH).input_ids)

    def loss(z: torch.Tensor, ids: torch.Tensor, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        a = alphas[t].view(-1, 1, 1, 1)
        with torch.autocast("cpu", torch.bfloat16):
            v = unet(a.sqrt() * z + (1 - a).sqrt() * noise, t, text(ids).last_hidden_state).sample
        return F.mse_loss(v.float(), a.sqrt() * noise - (1 - a).sqrt() * z)

    @torch.no_grad()
    def sample(texts: list[str], seed: int) -> torch.Tensor:
        context = text(tokens([""] * len(texts) + texts)).last_hidden_state
        x = torch.randn(len(texts), LATENT_CHANNELS, 16, 16, generator=torch.Generator().manual_seed(seed))
        scheduler.set_timesteps(SAMPLER_STEPS)
        for t in scheduler.timesteps:
            with torch.autocast("cpu", torch.bfloat16):
                free, guided = unet(torch.cat([x, x]), t, context).sample.float().chunk(2)
            x = scheduler.step(free + GUIDANCE * (guided - free), t, x).prev_sample
        return x

    def decode(z: torch.Tensor) -> torch.Tensor:
        return torch.cat([vae.decode(part / vae.config.scaling_factor).sample for part in z.split(16)])

    fixed = torch.Generator().manual_seed(SEED)
    held = torch.from_numpy(heldout[:VALIDATION]).float()
    held_ids = tokens([caption(a, random.Random(i), keep=1.0) for i, a in enumerate(held_attributes[:VALIDATION])])
    held_t, held_noise = (torch.arange(len(held)) * 997) % 1000, torch.randn(held.shape, generator=fixed)
    asked = [a for a in held_attributes if a["style"] in ("flat cartoon", "outlined cartoon")][:CHECKED]
    asked_text = [caption(a, random.Random(i), keep=1.0) for i, a in enumerate(asked)]
    probe = AttributeProbe(np.concatenate(shards[:5]), attributes[: sum(map(len, shards[:5]))])
    best, step = float("inf"), 0
    if (state := run.restore()) is not None:
        step, best = state["step"], state["best"]
        trainer.load(state["trainer"])
    else:
        run.log(step=0, ceiling=probe.score(heldout, held_attributes))

    @torch.no_grad()
    def evaluate():
        nonlocal best
        trainer.swap()
        unet.eval(), text.eval()
        value = sum(loss(held[i : i + 64], held_ids[i : i + 64], held_t[i : i + 64], held_noise[i : i + 64]).item() * len(held[i : i + 64]) for i in range(0, len(held), 64)) / len(held)
        shown = torch.cat([sample(asked_text[i : i + 32], i) for i in range(0, len(asked), 32)])
        grid = decode(torch.cat([sample(PROMPTS, s) for s in (1, 2)]))
        save_grid(o.run / f"grid_{step:06d}.png", [grid[:8], grid[16:24], grid[8:16], grid[24:]])
        if value < best:
            best = value
            for name, part in (("unet", unet), ("text_encoder", text), ("scheduler", scheduler)):
                part.save_pretrained(o.run / "best" / name)
            (o.run / "best" / "step.json").write_text(json.dumps({"step": step, "samples": step * o.batch, "validation": value}))
        unet.train(), text.train()
        trainer.swap()
        run.log(step=step, samples=step * o.batch, validation=round(value, 5), best=round(best, 5), obeyed=probe.score(shown.numpy(), asked))

    spent, first = 0.0, step
    while step < steps and not run.stopping:
        begun = time.process_time()
        rng, prng = np.random.default_rng([SEED, step]), random.Random(SEED * 1_000_003 + step)
        torch.manual_seed(SEED * 1_000_003 + step)
        picks = rng.integers(0, len(data), o.batch)
        z = torch.from_numpy(np.stack([_latent(shards, data.starts, int(i)) for i in picks])).float()
        ids = tokens(["" if prng.random() < DROP_CAPTION else caption(attributes[int(i)], prng) for i in picks])
        t = ((torch.randperm(o.batch) + torch.rand(o.batch)) * 1000 / o.batch).long().clamp_max(999)  # one in each slice of the schedule
        value = loss(z, ids, t, torch.randn_like(z))
        value.backward()
        norm = trainer.step(step)
        step += 1
        spent += time.process_time() - begun
        if step % LOG_EVERY == 0:
            run.log(step=step, loss=round(value.item(), 5), norm=round(norm, 3), seconds=round(spent / (step - first), 4))
        if step % EVALUATE_EVERY == 0 or step in (500, steps):
            evaluate()
        if run.due():
            run.save(step, {"best": best, "trainer": trainer.state()})
    run.save(step, {"best": best, "trainer": trainer.state()})
    run.close()
    if step < steps:
        raise SystemExit(STOPPED)


def _latent(shards: list[np.ndarray], starts: np.ndarray, index: int) -> np.ndarray:
    shard = int(np.searchsorted(starts, index, "right")) - 1
    return shards[shard][index - starts[shard]]


if __name__ == "__main__":
    main()
