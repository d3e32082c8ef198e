"""LoRA files as diffusers and peft write them, and what networks predict with them; and whether they read ours.

    python tests/reference/diffusion_lora.py             writes the files in diffusion_lora/
    python tests/reference/diffusion_lora.py check       reads ours, which lie there too, in diffusers
    python tests/reference/diffusion_lora.py check DIR   reads those that the Rust tests just wrote

A small network of SD 1.5's kind with weights by `recipe` (diffusion_recipe.py) gets adapters of rank 2 and alpha 3 on
linear layers and convolutions, and a text encoder some too. expected.safetensors holds what it predicts without
them, with them at weight 1, and with two mixed.
"""
import json, logging, shutil, sys, warnings
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_kohya
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from diffusion_recipe import filled, recipe

HERE = Path(__file__).parent / "diffusion_lora"
torch.set_num_threads(1)
warnings.simplefilter("ignore")
CONFIG = dict(sample_size=8, block_out_channels=(16, 32), norm_num_groups=8, layers_per_block=1, cross_attention_dim=16,
    attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
TEXT = dict(vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=8)
TARGETS = ["to_q", "to_v", "to_out.0", "ff.net.2", "proj_in", "conv1", "conv_shortcut", "time_emb_proj", "downsamplers.0.conv", "upsamplers.0.conv"]
TEXT_TARGETS = ["q_proj", "out_proj", "fc1"]
RANK, ALPHA = 2, 3.0


def unet():
    return filled(UNet2DConditionModel(**CONFIG))


def lora(model, targets, seed):
    """The model with an adapter whose values follow from the seed and the names, as peft's state."""
    model.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets))
    state = get_peft_model_state_dict(model)
    state = {name: 0.3 * recipe(f"{seed}.{name}", tuple(value.shape)) for name, value in state.items()}
    set_peft_model_state_dict(model, state)
    return state


def predict(model):
    sample, hidden = recipe("sample", (2, 4, 8, 8)), recipe("hidden", (2, 3, 16))
    with torch.no_grad():
        return model(sample, torch.tensor([7.0, 801.0]), hidden).sample


def pipeline():
    text = filled(CLIPTextModel(CLIPTextConfig(bos_token_id=0, eos_token_id=31, **TEXT)))
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, down_block_types=["DownEncoderBlock2D"], up_block_types=["UpDecoderBlock2D"])
    return StableDiffusionPipeline(vae=vae, text_encoder=text, tokenizer=None, unet=unet(), scheduler=DDPMScheduler(), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False)


def write():
    shutil.rmtree(HERE / "peft", ignore_errors=True)
    expected = {"none": predict(unet())}
    one, two = unet(), unet()
    first, second = lora(one, TARGETS, "one"), lora(two, TARGETS[:3], "two")
    expected["one"], expected["two"] = predict(one), predict(two)
    mixed = unet()
    for name, state, targets in [("one", first, TARGETS), ("two", second, TARGETS[:3])]:
        mixed.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets), adapter_name=name)
        set_peft_model_state_dict(mixed, state, adapter_name=name)
    mixed.set_adapters(["one", "two"], [0.8, -0.5])
    expected["mixed"] = predict(mixed)
    text = pipeline().text_encoder
    text_state = lora(text, TEXT_TARGETS, "text")
    expected["text.hidden"] = text(torch.arange(8)[None]).last_hidden_state.detach()
    config = dict(r=RANK, lora_alpha=ALPHA)
    StableDiffusionPipeline.save_lora_weights(HERE, unet_lora_layers=first, text_encoder_lora_layers=text_state, weight_name="diffusers.safetensors",
        unet_lora_adapter_metadata=dict(config, target_modules=TARGETS), text_encoder_lora_adapter_metadata=dict(config, target_modules=TEXT_TARGETS))
    # The keys of both formats carry their component; alpha is read from the state.
    kohya = {f"unet.{name}": value for name, value in second.items()}
    kohya = convert_state_dict_to_kohya(kohya)
    kohya = {name: torch.tensor(ALPHA) if name.endswith(".alpha") else value for name, value in kohya.items()}
    save_file({name: value.contiguous() for name, value in kohya.items()}, HERE / "kohya.safetensors", metadata={"ss_network_dim": "2", "ss_network_alpha": "3.0"})
    wrapped = get_peft_model(unet(), LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS[:3]))
    set_peft_model_state_dict(wrapped, {f"base_model.model.{name}": value for name, value in second.items()})
    wrapped.save_pretrained(HERE / "peft")
    (HERE / "peft" / "README.md").unlink(missing_ok=True)
    save_file({name: value.contiguous() for name, value in expected.items()}, HERE / "expected.safetensors")
    (HERE / "config.json").write_text(json.dumps(CONFIG) + "\n")


def check(folder):
    from safetensors.torch import load_file

    logging.disable(logging.WARNING)
    expected = load_file(HERE / "expected.safetensors")
    for file, key in [("ours_diffusers.safetensors", "one"), ("ours_kohya.safetensors", "one"), ("ours_mixed.safetensors", "mixed")]:
        pipe = pipeline()
        before = predict(pipe.unet)
        pipe.load_lora_weights(folder, weight_name=file)
        after = predict(pipe.unet)
        worst = (after - expected[key]).abs().max().item()
        print(f"{file}: shifts the prediction by {(after - before).abs().max():.4f}, {worst:.2e} from peft's own")
        assert worst < 1e-5
        if key == "one":
            hidden = pipe.text_encoder(torch.arange(8)[None]).last_hidden_state.detach()
            worst = (hidden - expected["text.hidden"]).abs().max().item()
            print(f"    its text encoder: {worst:.2e}")
            assert worst < 1e-5


if sys.argv[1:2] == ["check"]:
    check(Path(sys.argv[2]) if len(sys.argv) > 2 else HERE)
else:
    write()
