"""A CLIP-format byte-pair tokenizer over the captions' vocabulary.  usage: tokenizer.py PORTRAITS OUT

Every byte has a token, alone and word-final, so any prompt can be written; <new0>..<new31> are spare for trigger words."""

import json
import random
import sys
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from captions import caption
from portraits import Portraits

LENGTH, SPARE, VOCABULARY = 48, 32, 1200
# Words a user may want that no caption has: whole tokens are easier for a LoRA to teach than letters.
OTHER_WORDS = """an the and his her their bot dog animal monster alien photo photograph drawing anime realistic woman boy girl child old young ears nose
eyes teeth looking left right up down big small bright shirt tie jacket coat armor helmet mask kitchen office street park sky sea water fire lights""".split()


def train(texts: list[str], out: Path) -> CLIPTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = Regex(r"<\|startoftext\|>|<\|endoftext\|>|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    raw = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(words, "removed", invert=True), byte_level])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw.train_from_iterator(texts + OTHER_WORDS * 5, trainers.BpeTrainer(vocab_size=VOCABULARY, min_frequency=2, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False))
    model = json.loads(raw.to_str())["model"]
    vocabulary = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    for letter in alphabet:
        for token in (letter, letter + "</w>"):
            vocabulary.setdefault(token, len(vocabulary))
    for token in [f"<new{i}>" for i in range(SPARE)] + ["<|startoftext|>", "<|endoftext|>"]:
        vocabulary[token] = len(vocabulary)
    out.mkdir(parents=True, exist_ok=True)
    (out / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
    (out / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    tokenizer = CLIPTokenizer.from_pretrained(out, model_max_length=LENGTH)
    tokenizer.add_tokens([f"<new{i}>" for i in range(SPARE)])
    tokenizer.save_pretrained(out)
    return tokenizer


def main():
    portraits, out = map(Path, sys.argv[1:3])
    rng = random.Random(0)
    attributes = Portraits(portraits).attributes()
    texts = [caption(a, rng) for a in attributes[:20000]]
    tokenizer = train(texts, out)
    lengths = [len(ids) for ids in tokenizer(texts[:4000]).input_ids]
    print(f"{len(tokenizer)} tokens; captions of {sum(lengths) / len(lengths):.1f} tokens, at most {max(lengths)}, {sum(n > LENGTH for n in lengths) / len(lengths):.2%} longer than {LENGTH}")
    print("\n".join(texts[:12]))


if __name__ == "__main__":
    main()
