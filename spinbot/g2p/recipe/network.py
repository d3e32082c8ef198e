"""Trains the network that pronounces words no dictionary holds: `data/unknown.safetensors`.

    python network.py MISAKI_DATA OUT.safetensors      (misaki 0.9.4's data folder; torch; about 14 CPU-minutes)
    python network.py MISAKI_DATA OUT.safetensors HELD_OUT.tsv      (only writes 1200 held-out words, for the test)

1. Letters and phonemes of every dictionary word are aligned by expectation maximisation: each letter says a chunk of
   nought to three phonemes, a vowel keeping the stress mark in front of it.
2. Four residual convolutions read the letters (padded by one mark at each end), a GRU says letter by letter which chunk
   comes, knowing the chunk before. One network for both accents, told apart by an embedding.
3. Weights are rounded to 8 bits a row, and the rounded network is judged on word families it never saw.
"""
import collections, hashlib, json, math, random, re, sys, time

import torch
from torch import nn
from torch.nn import functional as F
from safetensors.torch import save_file

LETTERS = "_abcdefghijklmnopqrstuvwxyz'"  # 0 pads and marks both ends
STRESS = "ˈˌ"
WIDTH, LAYERS, HIDDEN, CHUNK_EMBEDDING, STEPS, BATCH = 144, 4, 256, 48, 3200, 512


def dictionary(folder, accent):
    """Lower-case words and their pronunciations; of several, the default one."""
    words = {}
    for grade in ("silver", "gold"):
        for word, ps in json.load(open(f"{folder}/{accent}_{grade}.json")).items():
            ps = ps["DEFAULT"] if isinstance(ps, dict) else ps
            low = word.lower()
            if ps and (word == low or word == low.capitalize()) and re.fullmatch(r"[a-z][a-z']{1,23}", low):
                words[low] = ps.replace("ʔ", "t")
    return words


def family(word):
    """What the inflected forms of a word share, so that none of them is trained on when another is judged by."""
    return re.sub(r"('s|s'|ies|ied|es|s|ed|d|ings?|ly|ers?|ness|e|y)$", "", word)[:9]


def held_out(word):
    return hashlib.sha1(family(word).encode()).digest()[0] < 8  # one family in 32


def units(ps):
    return tuple(re.findall(r"[ˈˌ]?[^ˈˌ]ː?", ps))


def bare(unit):
    return unit.lstrip(STRESS)


def spans(n, m):
    """For letter i the range of phonemes that may have been said before it."""
    return [(max(0, m - 3 * (n - i)), min(m, 3 * i)) for i in range(n + 1)]


def align(word, phones, log):
    """The likeliest chunks, one a letter, or None."""
    n, m = len(word), len(phones)
    if m > 3 * n:
        return None
    best, limits = [{0: (0.0, None)}], spans(n, m)
    for i in range(n):
        row = {}
        low, high = limits[i + 1]
        for j, (score, _) in best[i].items():
            for k in range(max(0, low - j), min(3, m - j) + 1):
                s = score + log(word[i], phones[j:j + k])
                if j + k <= high and (j + k not in row or s > row[j + k][0]):
                    row[j + k] = (s, j)
        best.append(row)
    if m not in best[n]:
        return None
    cuts, j = [m], m
    for i in range(n, 0, -1):
        j = best[i][j][1]
        cuts.append(j)
    cuts.reverse()
    return [(cuts[i], cuts[i + 1]) for i in range(n)]


def learn_alignment(pairs):
    """Hard expectation maximisation, started from how often a letter and a phoneme meet in a word."""
    meet, letters, phones = collections.Counter(), collections.Counter(), collections.Counter()
    for word, ps in pairs:
        for i, c in enumerate(word):
            letters[c] += 1
            for j, p in enumerate(ps):
                w = math.exp(-abs((i + .5) / len(word) - (j + .5) / len(ps)) * 6)
                meet[c, p] += w
                phones[p] += w / len(word)
    cost = {0: -2.2, 2: -3.0, 3: -7.0}
    first = {cp: math.log(v / letters[cp[0]] / phones[cp[1]] * sum(letters.values())) for cp, v in meet.items()}
    log = lambda c, ps: (sum(first.get((c, p), -9) for p in ps) / len(ps) if ps else 0) + cost.get(len(ps), 0)
    for _ in range(4):
        counts, totals = collections.Counter(), collections.Counter()
        for word, ps in pairs:
            for (a, b), c in zip(align(word, ps, log) or (), word):
                counts[c, ps[a:b]] += 1
                totals[c] += 1
        table = {k: math.log(v / totals[k[0]]) for k, v in counts.items()}
        log = lambda c, ps, table=table: table.get((c, ps), -9.0 - 4 * len(ps))
    return log


class Network(nn.Module):
    def __init__(self, chunks):
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), WIDTH)
        self.accents = nn.Embedding(2, WIDTH)
        self.convs = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 5, padding=2) for _ in range(LAYERS))
        self.chunks = nn.Embedding(chunks + 1, CHUNK_EMBEDDING)  # the last: nothing said yet
        self.gru = nn.GRU(WIDTH + CHUNK_EMBEDDING, HIDDEN, batch_first=True)
        self.out = nn.Linear(HIDDEN, chunks)
        self.drop = nn.Dropout(0.1)

    def encode(self, letters, accents):
        x = self.letters(letters) + self.accents(accents)[:, None]
        mask = torch.ones_like(x[:, :, :1])
        mask[:, 1:] = ((letters[:, 1:] != 0) | (letters[:, :-1] != 0)).unsqueeze(2).float()
        x = (x * mask).transpose(1, 2)
        for conv in self.convs:
            x = x + F.relu(conv(x * mask.transpose(1, 2)))
        return x.transpose(1, 2)

    def forward(self, letters, accents, before):
        x = self.drop(self.encode(letters, accents)[:, 1:-1])
        h, _ = self.gru(torch.cat([x, self.chunks(before)], 2))
        return self.out(self.drop(h))

    @torch.no_grad()
    def greedy(self, letters, accents):
        x = self.encode(letters, accents)[:, 1:-1]
        before = torch.full((len(x), 1), self.out.out_features)
        h, said = None, []
        for i in range(x.shape[1]):
            y, h = self.gru(torch.cat([x[:, i:i + 1], self.chunks(before)], 2), h)
            before = self.out(y).argmax(2)
            said.append(before)
        return torch.cat(said, 1)


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        last, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            last, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, last + (x != y))
    return row[-1]


def quantise(model):
    """Rounds every matrix to 8 bits a row, in place, and returns the tensors to store."""
    tensors = {}
    for name, value in model.state_dict().items():
        if value.ndim == 1:
            tensors[name] = value.float().contiguous()
            continue
        # Convolutions are stored tap by tap: [taps, out, in].
        rows = value.permute(2, 0, 1).contiguous() if value.ndim == 3 else value
        scale = rows.abs().amax(-1, keepdim=True).clamp_min(1e-8) / 127
        whole = (rows / scale).round().clamp(-127, 127)
        tensors[name], tensors[name + ".scale"] = whole.to(torch.int8), scale.squeeze(-1).contiguous()
        back = whole * scale
        value.copy_(back.permute(1, 2, 0) if value.ndim == 3 else back)
    return tensors


def write_held_out(folder, weights, out):
    """Held-out words: accent, word, the dictionary's pronunciation, the network's own (greedy, in PyTorch)."""
    from safetensors import safe_open

    file = safe_open(weights, "pt")
    chunks = file.metadata()["chunks"].split("\n")
    model = Network(len(chunks)).eval()
    for name, value in model.state_dict().items():
        stored = file.get_tensor(name)
        if value.ndim > 1:
            stored = stored * file.get_tensor(name + ".scale").unsqueeze(-1)
            stored = stored.permute(1, 2, 0) if value.ndim == 3 else stored
        value.copy_(stored)
    with open(out, "w") as file:
        for accent, name in enumerate(("us", "gb")):
            words = dictionary(folder, name)
            some = random.Random(3).sample(sorted(w for w in words if held_out(w)), 600)
            for word in sorted(some):
                letters = torch.tensor([[0, *(LETTERS.index(c) for c in word), 0]])
                said = "".join(chunks[c] for c in model.greedy(letters, torch.tensor([accent]))[0])
                file.write("\t".join((name, word, "".join(units(words[word])), said)) + "\n")


def main(folder, out, held_out_words=None):
    if held_out_words:
        with torch.no_grad():
            return write_held_out(folder, out, held_out_words)
    torch.manual_seed(1)
    random.seed(1)
    torch.set_num_threads(1)
    start = time.process_time()
    data, counts = [], collections.Counter()
    for accent, name in enumerate(("us", "gb")):
        pairs = {w: units(ps) for w, ps in dictionary(folder, name).items()}
        sample = random.Random(2).sample(sorted(pairs), 12000)
        log = learn_alignment([(w, tuple(map(bare, pairs[w]))) for w in sample])
        for word, phones in sorted(pairs.items()):
            cuts = align(word, tuple(map(bare, phones)), log)
            if cuts:
                chunks = tuple("".join(phones[a:b]) for a, b in cuts)
                data.append((word, accent, chunks, "".join(phones)))
                counts.update(chunks)
    chunks = sorted(c for c, n in counts.items() if n >= 12)
    index = {c: i for i, c in enumerate(chunks)}
    print(len(data), "pronunciations", len(chunks), "chunks", f"{time.process_time() - start:.0f} s", flush=True)

    test = [d for d in data if held_out(d[0])]
    inflected = re.compile(r"('s|s|ed|ing)$")
    known = {(w, a) for w, a, _, _ in data}
    train = []
    for d in data:
        if held_out(d[0]) or not all(c in index for c in d[2]):
            continue
        stem = inflected.sub("", d[0])
        if stem != d[0] and ((stem, d[1]) in known or (stem + "e", d[1]) in known) and random.random() < 0.7:
            continue  # the rules form these: three in ten are enough
        train.append(d)
    print(len(train), "to train,", len(test), "held out", flush=True)
    train.sort(key=lambda d: len(d[0]))

    def tensors(batch):
        n = max(len(d[0]) for d in batch)
        letters = torch.zeros(len(batch), n + 2, dtype=torch.long)
        target = torch.full((len(batch), n), -100)
        before = torch.full((len(batch), n), len(chunks))
        for i, (word, _, said, _) in enumerate(batch):
            letters[i, 1:len(word) + 1] = torch.tensor([LETTERS.index(c) for c in word])
            ids = torch.tensor([index.get(c, -100) for c in said])
            target[i, :len(word)] = ids
            before[i, 1:len(word)] = ids[:-1].clamp_min(0)
        return letters, torch.tensor([d[1] for d in batch]), before, target

    model = Network(len(chunks))
    print(sum(p.numel() for p in model.parameters()), "parameters", flush=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=STEPS, pct_start=0.15)
    mean = 0.0
    for step in range(STEPS):
        at = random.randrange(len(train) - BATCH)
        letters, accents, before, target = tensors(train[at:at + BATCH])
        loss = F.cross_entropy(model(letters, accents, before).flatten(0, 1), target.flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean += (loss.item() - mean) / min(step + 1, 100)
        if step % 200 == 199:
            print(step + 1, f"loss {mean:.3f}", f"{time.process_time() - start:.0f} s", flush=True)
    model.eval()
    stored = quantise(model)
    save_file(stored, out, {"chunks": "\n".join(chunks), "letters": LETTERS})
    for accent, name in enumerate(("us", "gb")):
        wrong = wrong_bare = errors = phones = n = 0
        part = sorted((d for d in test if d[1] == accent), key=lambda d: len(d[0]))
        for i in range(0, len(part), BATCH):
            batch = part[i:i + BATCH]
            letters, accents, _, _ = tensors(batch)
            for (word, _, _, want), said in zip(batch, model.greedy(letters, accents)):
                got = "".join(chunks[c] for c in said[:len(word)])
                wrong += got != want
                plain = lambda s: s.replace("ˈ", "").replace("ˌ", "")
                wrong_bare += plain(got) != plain(want)
                errors += distance(got, want)
                phones += len(want)
                n += 1
        print(name, n, "held out, greedy: words wrong", f"{wrong / n:.3f}", "but for stress", f"{wrong_bare / n:.3f}", "phoneme error", f"{errors / phones:.4f}")
    print(f"{time.process_time() - start:.0f} CPU-seconds")


if __name__ == "__main__":
    main(*sys.argv[1:])
