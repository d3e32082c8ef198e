"""Writes float16 safetensors in diffusers layout.
usage: export.py vae VAE_RUN PORTRAITS OUT      the autoencoder of a run's checkpoint (also in the middle of the run), latents normalised
       export.py model VAE UNET_RUN OUT         the whole pipeline: best UNet and text encoder, tokenizer, scheduler, model_index.json"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

from autoencoder import build, normalize_latents, reconstruct, score
from portraits import Portraits, load_pictures, to_tensor

INDEX = {
    "_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"], "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"], "scheduler": ["diffusers", "DDIMScheduler"], "safety_checker": [None, None], "feature_extractor": [None, None],
}


def export_vae(run: Path, portraits: Path, out: Path):
    state = torch.load(run / "checkpoint.pt", weights_only=True, mmap=True)
    vae = build(tuple(state["plan"]["channels"]), state["plan"]["groups"])
    vae.load_state_dict(state["trainer"]["ema"])
    vae = vae.to(memory_format=torch.contiguous_format).eval()
    data = Portraits(portraits)
    picks = np.random.default_rng(1).choice(len(data), 512, replace=False)
    normalize_latents(vae, to_tensor(np.stack([data[int(i)] for i in picks])))
    vae.half().save_pretrained(out)
    heldout = to_tensor(load_pictures(portraits / "heldout.rgb")[:96])
    print(f"step {state['step']}, as float16 on held-out pictures:", score(reconstruct(AutoencoderKL.from_pretrained(out).float(), heldout), heldout))


def export_model(vae: Path, run: Path, out: Path):
    AutoencoderKL.from_pretrained(vae).half().save_pretrained(out / "vae")
    UNet2DConditionModel.from_pretrained(run / "best" / "unet").half().save_pretrained(out / "unet")
    CLIPTextModel.from_pretrained(run / "best" / "text_encoder").half().save_pretrained(out / "text_encoder")
    shutil.copytree(run / "tokenizer", out / "tokenizer", dirs_exist_ok=True)
    shutil.copytree(run / "best" / "scheduler", out / "scheduler", dirs_exist_ok=True)
    for config in out.glob("*/config.json"):  # where it lay on this machine is nobody's business
        values = json.loads(config.read_text())
        values.pop("_name_or_path", None)
        config.write_text(json.dumps(values, indent=1) + "\n")
    (out / "model_index.json").write_text(json.dumps(INDEX, indent=1))


def main():
    torch.set_num_threads(1)
    commands = {"vae": export_vae, "model": export_model}
    if len(sys.argv) != 5 or sys.argv[1] not in commands:
        raise SystemExit(__doc__)
    commands[sys.argv[1]](*map(Path, sys.argv[2:]))


if __name__ == "__main__":
    with torch.no_grad():
        main()
