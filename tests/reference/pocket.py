"""pocket-tts with small random weights: the numbers the Rust port is held against.

    python pocket.py pocket/

Needs Python 3.11 and the PyPI packages pocket-tts 4.0.1 (MIT; the code, it carries no weights) and what it imports: torch, safetensors,
sentencepiece, tokenizers. Every number comes out of the package's own modules; the port shares nothing with it.

Two models are built, so that every branch of the architecture occurs:

- `full`: like the 100M releases. Two-time (LSD) head, a learned vector before the voice, one Mimi width, bf16 weights.
- `small`: like the 2M-18M releases. One-step head, grouped keys, a narrower projection behind the backbone, a low-rank
  text table, a decoder of another width than the encoder, f16 weights.

For each: `NAME.safetensors` (weights, in the layout of the releases) and `NAME_cases.safetensors` (inputs and outputs).
`tokenizer.model`, `tokenizer.json` and `text.json` hold the text side.
"""

import contextlib
import json
import sys
import tempfile
from pathlib import Path

import sentencepiece
import tokenizers
import torch
from pocket_tts.models.flow_lm import drifting_decode, lsd_decode, ot_decode, pointwise_decode
from pocket_tts.models.mimi import build_mimi
from pocket_tts.models.text_chunking import prepare_text_prompt, split_into_best_sentences
from pocket_tts.models.tts_model import TTSModel, stamp_state_names
from pocket_tts.modules.mlp import SimpleMLPAdaLN
from pocket_tts.modules.stateful_module import increment_steps, init_states
from pocket_tts.modules.text_conditioner import JsonTokenizer, SentencePieceTokenizer
from pocket_tts.utils.config import CONFIGS_DIR, Config, load_config
from safetensors.torch import save_file

torch.set_num_threads(1)
LANGUAGES = ["french", "german", "italian", "spanish", "portuguese", "dutch", "english_2m_2026-10"]
SPOKEN = "The quick fox jumps."
CORPUS = """The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs!
How vexingly quick daft zebras jump? Bright vixens jump; dozy fowl quack. The five boxing wizards jump quickly.
Hello world, this is a small voice. It costs 3.50 or 12.75, they said: wait... What? No, nothing at all.
She sells sea shells by the sea shore, and he sells them again.""".splitlines()

SENTENCES = [
    "hello world",
    "The quick brown fox.",
    "  spaces   inside and \n a line break ",
    "It costs 3.50 today. Or was it 12.75? nobody knows",
    "Ends with a comma,",
    'He said "stop."',
    '«Oui?», dit-il; ¿qué – no: sí — [voilà] "Ja!", sagt „sie“ (laut).',
    "an open (parenthesis)",
    "dash at the end -",
    "unknown ☃ letters é and \u201ccurly\u201d quotes, it\u2019s fine",
    "\ufb01ne: full width \uff01",
    "One sentence here. Another sentence there! A third one follows, which is rather longer than the others; it "
    "goes on, and on, and on: until it ends. Short. And the last one, without an end",
    "no sentence end at all but a great many words that follow one after another until the limit of tokens is far "
    "behind, then a comma, and more words that follow one after another, so that the fallback has to work",
]


def seanet(dimension, n_filters, kernel_size):
    return dict(
        dimension=dimension, channels=1, n_filters=n_filters, n_residual_layers=1, ratios=[6, 5, 4],
        kernel_size=kernel_size, residual_kernel_size=3, last_kernel_size=3, dilation_base=2, pad_mode="constant",
        compress=2,
    )  # fmt: skip


def mimi_transformer(width, heads, layers, context):
    return dict(
        d_model=width, num_heads=heads, num_layers=layers, layer_scale=0.01, context=context, dim_feedforward=2 * width,
        input_dimension=width, output_dimensions=[width],
    )  # fmt: skip


def configs(tokenizer_model, tokenizer_json, n_bins):
    full = dict(
        flow_lm=dict(
            dtype="float32", insert_bos_before_voice=True,
            flow=dict(depth=2, dim=24),
            transformer=dict(d_model=32, hidden_scale=2, max_period=10000, num_heads=2, num_layers=2),
            lookup_table=dict(dim=32, n_bins=n_bins, tokenizer="tokenizers", tokenizer_path=str(tokenizer_json)),
        ),
        mimi=dict(
            dtype="float32", sample_rate=24000, channels=1, frame_rate=12.5, inner_dim=8, outer_dim=16,
            seanet=seanet(16, 4, 7), transformer=mimi_transformer(16, 2, 2, 20),
            quantizer=dict(dimension=8, output_dimension=16),
        ),
    )  # fmt: skip
    small = dict(
        flow_lm=dict(
            dtype="float32", insert_bos_before_voice=False, z_dim=16,
            flow=dict(depth=2, dim=20, type="drifting"),
            transformer=dict(
                d_model=24, hidden_scale=1, max_period=10000, num_heads=4, num_layers=3, attn_dim=32, num_kv_heads=2,
                dim_feedforward=40,
            ),
            lookup_table=dict(
                dim=24, n_bins=n_bins, tokenizer="sentencepiece", tokenizer_path=str(tokenizer_model), rank=6
            ),
        ),
        mimi=dict(
            dtype="float32", sample_rate=24000, channels=1, frame_rate=12.5, inner_dim=None, outer_dim=8,
            seanet=seanet(16, 4, 7), transformer=mimi_transformer(16, 2, 1, 20),
            quantizer=dict(dimension=6, output_dimension=8),
            decoder_seanet=seanet(8, 2, 3), decoder_transformer=mimi_transformer(8, 2, 2, 10),
        ),
    )  # fmt: skip
    return {"full": (full, torch.bfloat16), "small": (small, torch.float16)}


def randomise(module, dtype, generator):
    """Every parameter and buffer away from its initial value, at a scale that keeps signals near one, and exact in
    `dtype`, so that the file of that type holds what the module computes with."""
    named = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, tensor in named.items():
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("freqs"):
            value = tensor
        elif name.endswith("emb_std"):
            value = 0.7 + 0.2 * noise.abs()
        elif name.endswith(("alpha", "scale")) or ("norm" in name or "in_ln" in name) and name.endswith("weight"):
            value = 0.8 + 0.2 * noise
        elif tensor.dim() >= 2 and "embed.weight" not in name:
            value = noise * (1.2 / tensor[0].numel() ** 0.5)
        else:
            value = 0.3 * noise
        with torch.no_grad():
            tensor.copy_(value.to(dtype).float())


def build(config, dtype, generator):
    config = Config(**config)
    model = TTSModel._from_pydantic_config(config, 0.5, 1, None, 0.0, None)
    width = config.mimi.inner_dim or config.mimi.seanet.dimension
    model.flow_lm.speaker_proj_weight = torch.nn.Parameter(torch.zeros(config.flow_lm.transformer.d_model, width))
    model.mimi = build_mimi(config.mimi)
    model.eval()
    # Else as many frames are decoded together as happen to wait, and the last digits differ from run to run.
    model.max_decoder_frames_per_call = 1
    stamp_state_names(model)
    randomise(model, dtype, generator)
    return model


class Noise:
    """Stands in for torch's normal_ within flow_lm: draws from its own generator, keeps what it drew."""

    def __init__(self, generator):
        self.generator, self.drawn = generator, []

    def __call__(self, tensor, mean, std):
        with torch.no_grad():
            tensor.copy_(torch.randn(tensor.shape, generator=self.generator) * std + mean)
        self.drawn.append(tensor.clone())
        return tensor


def backbone_cases(model, generator):
    """A voice prompt, a text, then three latents through the transformer and its cache."""
    lm, out = model.flow_lm, {}
    prompt = 0.5 * torch.randn(1, 5, lm.dim, generator=generator)
    tokens = torch.randint(0, lm.conditioner.embed.num_embeddings - 1, (1, 7), generator=generator)
    latents = torch.randn(1, 3, lm.ldim, generator=generator)
    out |= {"lm.prompt": prompt, "lm.tokens": tokens.to(torch.int32), "lm.latents": latents}
    state = init_states(lm, 1, 32)
    nothing = torch.zeros(1, 0, lm.ldim)
    # The whole output is wanted, so the prefix is given as if it were the sequence.
    steps = []
    for prefix in (prompt, lm.conditioner(tokens)):
        steps.append(lm.backbone(torch.zeros(1, 0, lm.dim), prefix, prefix, state))
        increment_steps(lm, state, prefix.shape[1])
    for n in range(4):
        sequence = torch.full((1, 1, lm.ldim), float("nan")) if n == 0 else latents[:, n - 1 : n]
        sequence = torch.where(torch.isnan(sequence), lm.bos_emb, sequence)
        steps.append(lm.backbone(lm.input_linear(sequence), nothing.new_zeros(1, 0, lm.dim), sequence, state))
        increment_steps(lm, state, 1)
    out["lm.embedded"] = lm.conditioner(tokens)
    out["lm.hidden"] = torch.cat(steps, dim=1)
    out["lm.eos"] = lm.out_eos(torch.cat(steps, dim=1))[..., 0]
    return out


def flow_cases(net, kind, prefix, generator):
    c = torch.randn(1, net.cond_embed.in_features, generator=generator)
    x = torch.randn(1, net.in_channels, generator=generator)
    out = {f"{prefix}.cond": c, f"{prefix}.noise": x}

    def flow(*times_and_x):
        return net(c, *times_and_x)

    for name, decode, steps in kind:
        out[f"{prefix}.{name}"] = decode(flow, x, steps)
    return out


def mimi_cases(model, generator):
    mimi, out = model.mimi, {}
    time = torch.arange(int(3.4 * mimi.frame_size)) / 24000
    audio = 0.4 * torch.sin(2 * torch.pi * 220 * time) + 0.1 * torch.randn(time.shape, generator=generator)
    out["mimi.audio"] = audio
    out["mimi.encoded"] = mimi.encode_to_latent(audio[None, None])
    latent = torch.randn(1, 5, model.flow_lm.ldim, generator=generator)
    out["mimi.latent"] = latent
    steps_per_latent = int(mimi.encoder_frame_rate / mimi.frame_rate)
    state, pieces = init_states(mimi, 1, 5 * steps_per_latent), []
    for n in range(5):
        pieces.append(mimi.decode_from_latent(latent[:, n : n + 1], state))
        increment_steps(mimi, state, steps_per_latent)
    out["mimi.decoded"] = torch.cat(pieces, dim=-1)[0, 0]
    return out


def speech_cases(model, generator):
    """A voice from two noisy seconds, then a sentence said with it, with the noise that was drawn."""
    out = {}
    time = torch.arange(24000) / 24000
    voice = 0.5 * torch.sin(2 * torch.pi * 140 * time) * (time < 0.7) + 1e-4 * torch.randn(time.shape, generator=generator)
    out["speech.voice_audio"] = voice
    state = model.get_state_for_audio_prompt(voice[None])
    for name, tensors in state.items():
        out[f"{name}/cache"] = tensors["cache"].clone()
        out[f"{name}/offset"] = tensors["offset"].clone()
    # A threshold that the logits of this random model pass once, after the first frames.
    seen, whole = [], model.flow_lm.forward

    def watch(*args, **kwargs):
        seen.append(None)
        return whole(*args, **kwargs)

    model.flow_lm.forward = watch
    logits = []
    model.flow_lm.out_eos.register_forward_hook(lambda _m, _i, o: logits.append(float(o)))
    seed = int(torch.randint(0, 1 << 30, (1,), generator=generator))

    def speak(threshold):
        model.eos_threshold = threshold
        noise = Noise(torch.Generator().manual_seed(seed))
        drawing = torch.nn.init.normal_
        torch.nn.init.normal_ = noise
        try:
            chunks = list(model.generate_audio_stream(state, SPOKEN, frames_after_eos=3))
        finally:
            torch.nn.init.normal_ = drawing
        return torch.cat(chunks), torch.cat(noise.drawn)

    speak(float("inf"))
    unhurried = logits[1:]
    threshold = sorted(unhurried[6:10])[-1] - 1e-3
    audio, noise = speak(threshold)
    assert 8 <= len(noise) <= 16, len(noise)
    out["speech.eos_threshold"] = torch.tensor([threshold])
    # The first draw belongs to the text's pass, whose latent is thrown away.
    out["speech.noise"] = noise[1:]
    out["speech.audio"] = audio
    return out


def text_cases(model_tokenizer, json_tokenizer):
    cases = []
    for text in SENTENCES:
        case = {"text": text, "model": model_tokenizer.encode(text), "json": json_tokenizer.encode(text)}
        case["decoded"] = model_tokenizer.decode(case["model"])
        rules = dict(replace_characters={"\u2019": "'", "\u2018": "'"})
        prepared, frames = prepare_text_prompt(text, False, False, **rules)
        case["prepared"], case["frames_after_eos"] = prepared, frames + 2
        case["padded"] = prepare_text_prompt(text, True, False, **rules)[0]
        case["languages"] = {}
        for language in LANGUAGES:
            config = load_config(CONFIGS_DIR / f"{language}.yaml")
            spelling = prepare_text_prompt(
                text,
                config.pad_with_spaces_for_short_inputs,
                config.remove_semicolons,
                replace_characters=config.replace_characters,
            )
            case["languages"][language] = spelling[0]
        for kind, tokenizer in (("model", model_tokenizer), ("json", json_tokenizer)):
            case[f"chunks_{kind}"] = split_into_best_sentences(tokenizer, text, 50, False, False, **rules)
        cases.append(case)
    return cases


def train_tokenizer(folder):
    (folder / "rules.tsv").write_text("FB01\t66 69\nFF01\t21\n")
    (folder / "corpus.txt").write_text("\n".join(CORPUS))
    # The model keeps the names it was trained with: relative ones, so that no folder of a machine gets into it.
    with contextlib.chdir(folder):
        sentencepiece.SentencePieceTrainer.train(
            input="corpus.txt", model_prefix="tokenizer", vocab_size=330, model_type="unigram", byte_fallback=True,
            hard_vocab_limit=False, normalization_rule_tsv="rules.tsv", character_coverage=1.0, num_threads=1,
            minloglevel=2,
        )  # fmt: skip
    sp = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    vocab = [(sp.id_to_piece(n), sp.get_score(n)) for n in range(sp.vocab_size())]
    tok = tokenizers.Tokenizer(tokenizers.models.Unigram(vocab, sp.unk_id(), byte_fallback=True))
    tok.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace("▁", "always", split=False)
    decoders = tokenizers.decoders
    tok.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tok.save(str(folder / "tokenizer.json"), pretty=False)
    return sp.vocab_size()


@torch.no_grad()
def main():
    target = Path(sys.argv[1])
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        n_bins = train_tokenizer(scratch)
        for name in ("tokenizer.model", "tokenizer.json"):
            (target / name).write_bytes((scratch / name).read_bytes())
    spm, tok = target / "tokenizer.model", target / "tokenizer.json"
    text = text_cases(SentencePieceTokenizer(n_bins, str(spm)), JsonTokenizer(n_bins, str(tok)))
    (target / "text.json").write_text(json.dumps(text, ensure_ascii=False, indent=1) + "\n")
    for seed, (name, (config, dtype)) in enumerate(configs(spm, tok, n_bins).items()):
        generator = torch.Generator().manual_seed(100 + seed)
        model = build(config, dtype, generator)
        weights = {key: value.to(dtype).contiguous() for key, value in model.state_dict().items()}
        cases = backbone_cases(model, generator) | mimi_cases(model, generator)
        if name == "full":
            kinds = [("lsd1", lsd_decode, 1), ("lsd4", lsd_decode, 4)]
        else:
            kinds = [("drifting", drifting_decode, 1), ("pointwise", pointwise_decode, 1)]
        cases |= flow_cases(model.flow_lm.flow_net, kinds, "flow", generator)
        if name == "small":
            net = SimpleMLPAdaLN(6, 12, 6, 10, 1, num_time_conds=1).eval()
            randomise(net, dtype, generator)
            cases |= {f"ot.net.{key}": value for key, value in net.state_dict().items()}
            cases |= flow_cases(net, [("steps16", ot_decode, 16)], "ot", generator)
        cases |= speech_cases(model, generator)
        save_file(weights, target / f"{name}.safetensors")
        save_file({key: value.contiguous() for key, value in cases.items()}, target / f"{name}_cases.safetensors")


main()
