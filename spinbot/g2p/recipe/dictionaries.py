"""Packs misaki's English dictionaries for `src/dictionary.rs`: `data/us.dict`, `data/gb.dict`.

    pip download --no-deps misaki==0.9.4     (Apache-2.0)
    python dictionaries.py MISAKI_DATA OUT_FOLDER

A file is a zlib stream over five columns, each a u32 length (little endian) and its bytes:
  alphabet  the phoneme characters, UTF-8; their numbers start at 0
  shared    per entry, how many bytes of the key before its key begins with
  suffixes  per entry, the rest of the key, ended by 0
  kinds     per entry, bit 0: silver (made by rules) and not gold (checked by hand); the rest: how many further readings
            it has
  prons     per entry, the number of each phoneme of its reading, ended by 255; of further readings, the number of the
            tag in TAGS in front of each. A lone 254 is a reading that is spelled by its letters.
Entries are sorted by the key's bytes. A silver entry that a gold one hides is left out.
"""
import json, struct, sys, zlib

TAGS = ["None", "NOUN", "VERB", "ADJ", "ADV", "VBD", "VBN", "VBP", "DT"]


def pack(folder, accent):
    entries = {k: (1, v) for k, v in json.load(open(f"{folder}/{accent}_silver.json")).items()}
    entries.update((k, (0, v)) for k, v in json.load(open(f"{folder}/{accent}_gold.json")).items())
    alphabet = sorted({c for _, v in entries.values() for ps in (v.values() if isinstance(v, dict) else [v]) for c in ps or ""})
    code = {c: i for i, c in enumerate(alphabet)}
    shared, suffixes, kinds, prons = bytearray(), bytearray(), bytearray(), bytearray()

    def reading(ps):
        return bytes([254, 255]) if ps is None else bytes(code[c] for c in ps) + b"\xff"

    last = b""
    for key, (silver, value) in sorted((k.encode(), v) for k, v in entries.items()):
        n = 0
        while n < min(len(last), len(key)) and last[n] == key[n]:
            n += 1
        shared.append(n)
        suffixes += key[n:] + b"\0"
        last = key
        value = dict(value) if isinstance(value, dict) else {"DEFAULT": value}
        prons += reading(value.pop("DEFAULT"))
        kinds.append(silver | len(value) << 1)
        for tag, ps in value.items():
            prons += bytes([TAGS.index(tag)]) + reading(ps)
    columns = ["".join(alphabet).encode(), bytes(shared), bytes(suffixes), bytes(kinds), bytes(prons)]
    print(accent, len(entries), "entries", [len(c) for c in columns], [len(zlib.compress(c, 9)) for c in columns])
    return zlib.compress(b"".join(struct.pack("<I", len(c)) + c for c in columns), 9)


if __name__ == "__main__":
    for accent in ("us", "gb"):
        packed = pack(sys.argv[1], accent)
        open(f"{sys.argv[2]}/{accent}.dict", "wb").write(packed)
        print(accent, len(packed), "bytes")
