"""Tiny language models of three families as GGUF files, and what transformers computes with them.

    python tests/reference/language.py

Writes language/: llama.gguf, qwen2.gguf and qwen3.gguf (random weights in f32, in Q4_1 and Q8_0 for llama-q.gguf), and
language.json with the logits of a text. The tokens, merges and template of all are made here.

Needs: torch, transformers 5, gguf, numpy.
"""

import json
import pathlib

import gguf
import numpy as np
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

HERE = pathlib.Path(__file__).parent
OUT = HERE / "language"
TEXT = [5, 301, 17, 260, 99, 33, 270, 12, 7, 300, 45, 81]
WIDTH, INNER, LAYERS, HEADS, KV_HEADS = 32, 64, 2, 4, 2


def alphabet():
    """GPT-2's printable stand-ins of all bytes, in the order of the bytes."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    other = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(other)) for b in range(256)]


def vocabulary():
    """Bytes, some merges of them, and control tokens; 320 in all."""
    tokens = alphabet()
    merges = []
    for pair in [
        ("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("a", "n"), ("e", "r"), ("o", "n"), ("r", "e"), ("Ġ", "a"),
        ("Ġ", "s"), ("s", "t"), ("o", "c"), ("oc", "t"), ("oct", "o"), ("p", "u"), ("pu", "s"), ("octo", "pus"),
        ("Ġ", "octopus"), ("h", "e"), ("he", "a"), ("hea", "r"), ("hear", "t"), ("heart", "s"), ("Ġ", "hearts"),
        ("Ġ", "h"), ("a", "v"), ("av", "e"), ("Ġh", "ave"), ('"', ","), (".", '"'), ('"', "}"), ("Ġ", "1"),
        ("1", "2"), ("Ċ", "Ċ"), ("Ġ", "Ġ"), ("'", "s"), ("l", "l"), ("Ã", "©"),
    ]:
        merges.append(" ".join(pair))
        tokens.append("".join(pair))
    types = [gguf.TokenType.NORMAL] * len(tokens)
    for control in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]:
        tokens.append(control)
        types.append(gguf.TokenType.CONTROL)
    while len(tokens) < 320:
        tokens.append(f"<unused{len(tokens)}>")
        types.append(gguf.TokenType.UNUSED)
    return tokens, merges, types


def turned(weight, heads):
    """Llama's queries and keys as GGUF orders them: halves of a head become neighbours."""
    rows = weight.shape[0] // heads
    return weight.reshape(heads, 2, rows // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def unturned(weight, heads):
    rows = weight.shape[0] // heads
    return weight.reshape(heads, rows // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write(name, family, model, config, quantized):
    """The file; gives the weights back as they are after rounding."""
    tokens, merges, types = vocabulary()
    writer = gguf.GGUFWriter(OUT / f"{name}.gguf", family)
    writer.add_name(f"tiny {name}")
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    if family == "qwen3":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_add_bos_token(False)
    kept = {}
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, family.upper()), LAYERS)
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weight = tensor.numpy().astype(np.float32)
        heads = {"q_proj": HEADS, "k_proj": KV_HEADS}.get(key.split(".")[-2])
        swap = family == "llama" and heads
        if swap:
            weight = turned(weight, heads)
        kind = gguf.GGMLQuantizationType.F32
        if quantized and weight.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0 if "embed" in key else gguf.GGMLQuantizationType.Q4_1
        raw = gguf.quants.quantize(weight, kind)
        back = gguf.quants.dequantize(raw, kind)
        stem, _, suffix = key.rpartition(".")
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", raw, raw_dtype=kind)
        kept[key] = torch.from_numpy(unturned(back, heads) if swap else back)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return kept


def main():
    OUT.mkdir(exist_ok=True)
    common = {
        "vocab_size": 320, "hidden_size": WIDTH, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "max_position_embeddings": 256,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }
    answers = {"tokens": TEXT, "logits": {}}
    for name, family, cls, config, quantized in [
        ("llama", "llama", LlamaForCausalLM, LlamaConfig(**common, rms_norm_eps=1e-5), False),
        ("llama-q", "llama", LlamaForCausalLM, LlamaConfig(**common, rms_norm_eps=1e-5, tie_word_embeddings=True), True),
        ("qwen2", "qwen2", Qwen2ForCausalLM, Qwen2Config(**common, rms_norm_eps=1e-6), False),
        ("qwen3", "qwen3", Qwen3ForCausalLM, Qwen3Config(**common, rms_norm_eps=1e-6, head_dim=16), False),
    ]:
        torch.manual_seed(7)
        model = cls(config).eval()
        with torch.no_grad():
            for key, tensor in model.state_dict().items():
                # Large enough that every part shows; norms around one, biases around zero.
                spread = 0.2 if tensor.ndim == 1 else 0.3
                tensor.copy_(torch.randn_like(tensor) * spread + (1.0 if "norm" in key else 0.0))
        kept = write(name, family, model, config, quantized)
        model.load_state_dict(kept, strict=False)
        if config.tie_word_embeddings:
            model.tie_weights()
        with torch.no_grad():
            logits = model(torch.tensor([TEXT])).logits[0]
        # After the first five, and after all.
        answers["logits"][name] = [[round(x, 6) for x in logits[at].tolist()] for at in (4, len(TEXT) - 1)]
    (HERE / "language.json").write_text(json.dumps(answers) + "\n")


if __name__ == "__main__":
    main()
