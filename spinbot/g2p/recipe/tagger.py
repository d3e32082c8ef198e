"""Trains the part-of-speech network: `data/tagger.safetensors`.

    python tagger.py TAGS.npz MISAKI_DATA OUT.safetensors      (TAGS.npz from corpus.py; torch; about 5 CPU-minutes)

A word is the sum of hashed embeddings of its form (two hashes), endings, beginning and shape; two convolutions of five
words read its surroundings; the targets are spaCy's own probabilities. Words whose sound hangs on their tag count four
times. Weights are rounded to 8 bits a row. One paragraph in 40 is held out.
"""
import json, sys, time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from safetensors.torch import save_file

WIDTH, STEPS, TOKENS = 64, 6000, 3072
# Name, rows and hash seed of each table; src/tagger.rs has the same.
TABLES = [("form", 6144, 1), ("form_again", 6144, 2), ("end3", 2048, 3), ("end2", 1024, 4), ("start", 1024, 5), ("shape", 256, 6)]
SPECIAL = "in by a an am to that used the i to vs".split()


def fnv(seed, text):
    h = 2166136261
    for b in bytes([seed]) + text.encode():
        h = (h ^ b) * 16777619 & 0xFFFFFFFF
    return h ^ h >> 15


def shape(word):
    """Runs of capitals, small letters and digits, at most two alike, at most six in all; other signs stand for themselves."""
    out = ""
    for c in word:
        kind = "X" if c.isupper() else "x" if c.isalpha() else "0" if c.isnumeric() else c
        if out[-2:] != kind * 2:
            out += kind
    return out[:6]


def features(word):
    low = word.lower()
    parts = [low, low, low[-3:], low[-2:], low[:3], shape(word)]
    return [fnv(seed, part) % rows for (_, rows, seed), part in zip(TABLES, parts)]


class Network(nn.Module):
    def __init__(self, classes):
        super().__init__()
        for name, rows, _ in TABLES:
            table = nn.Embedding(rows, WIDTH)
            nn.init.normal_(table.weight, std=0.1)
            setattr(self, name, table)
        self.near = nn.Conv1d(WIDTH, WIDTH, 5, padding=2)
        self.far = nn.Conv1d(WIDTH, WIDTH, 5, padding=2)
        self.out = nn.Linear(WIDTH, classes)
        self.drop = nn.Dropout(0.1)

    def forward(self, ids):
        x = sum(getattr(self, name)(ids[:, i]) for i, (name, _, _) in enumerate(TABLES))
        x = self.drop(x).T[None]
        x = x + F.relu(self.near(x))
        x = x + F.relu(self.far(x))
        return self.out(self.drop(x[0].T))


@torch.no_grad()
def quantise(model):
    tensors = {}
    for name, value in model.state_dict().items():
        if value.ndim == 1:
            tensors[name] = value.float().contiguous()
            continue
        rows = value.permute(2, 0, 1).contiguous() if value.ndim == 3 else value
        scale = rows.abs().amax(-1, keepdim=True).clamp_min(1e-8) / 127
        whole = (rows / scale).round().clamp(-127, 127)
        tensors[name], tensors[name + ".scale"] = whole.to(torch.int8), scale.squeeze(-1).contiguous()
        back = whole * scale
        value.copy_(back.permute(1, 2, 0) if value.ndim == 3 else back)
    return tensors


def main(tags, folder, out):
    torch.manual_seed(1)
    torch.set_num_threads(1)
    data = np.load(tags, allow_pickle=True)
    words, scores = data["words"], data["scores"]
    unique, inverse = np.unique(words.astype(str), return_inverse=True)
    table = np.array([features(w) for w in unique], dtype=np.int64)
    gold = json.load(open(f"{folder}/us_gold.json"))
    heavy = {w.lower() for w, ps in gold.items() if isinstance(ps, dict)} | set(SPECIAL)
    weight = np.array([0.0 if w == "" else 4.0 if w.lower() in heavy else 1.0 for w in unique], np.float32)
    # Four empty words between paragraphs: as far as two convolutions see.
    ends = np.flatnonzero(words == "")
    paragraphs = np.split(np.arange(len(words)), ends + 1)[:-1]
    order = np.random.RandomState(1).permutation(len(paragraphs))
    spread = lambda some: np.concatenate([np.concatenate([paragraphs[p], np.repeat(paragraphs[p][-1:], 3)]) for p in some])
    test, train = spread(order[: len(order) // 40]), spread(order[len(order) // 40:])
    print(len(train), "to train,", len(test), "held out,", len(unique), "forms", flush=True)

    def batch(at):
        return torch.from_numpy(table[inverse[at]]), torch.from_numpy(scores[at].astype(np.float32)), torch.from_numpy(weight[inverse[at]])

    model = Network(scores.shape[1])
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=STEPS, pct_start=0.1)
    rng, start, mean = np.random.RandomState(2), time.process_time(), 0.0
    for step in range(STEPS):
        at = rng.randint(len(train) - TOKENS)
        ids, target, w = batch(train[at:at + TOKENS])
        loss = -((F.log_softmax(model(ids), 1) * target).sum(1) * w).sum() / w.sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        mean += (loss.item() - mean) / min(step + 1, 100)
        if step % 500 == 499:
            print(step + 1, f"loss {mean:.4f}", f"{time.process_time() - start:.0f} s", flush=True)
    model.eval()
    stored = quantise(model)
    save_file(stored, out)
    with torch.no_grad():
        ids, target, w = batch(test)
        right = (model(ids).argmax(1) == target.argmax(1)).float()
    real, hard = w > 0, w > 1
    print(f"agrees with spaCy on {right[real].mean():.4f} of words, {right[hard].mean():.4f} of those that hang on it")


if __name__ == "__main__":
    main(*sys.argv[1:])
