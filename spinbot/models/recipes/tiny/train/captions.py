"""Captions from attributes: synonyms, changing order, parts left out.

A caption names only what the picture shows, never more. Word order varies because users' prompts do."""

import random
import re

COLOR = {"gray": ["gray", "grey"], "blonde": ["blonde", "blond", "fair"], "ginger": ["ginger", "orange", "red"], "teal": ["teal", "turquoise"], "purple": ["purple", "violet"], "pale": ["pale", "very light"],
         "light": ["light", "fair"], "tan": ["tan", "tanned"], "dark": ["dark", "deep"]}
HAIR = {"bald": ["bald", "no hair", "a bald head"], "short": ["short {c} hair", "{c} short hair"], "spiky": ["spiky {c} hair", "{c} spikes of hair"], "mohawk": ["a {c} mohawk"], "bob": ["a {c} bob", "{c} bob hair"],
        "long": ["long {c} hair", "{c} long hair"], "curly": ["curly {c} hair", "{c} curls"], "afro": ["a {c} afro", "big {c} afro hair"], "bun": ["a {c} hair bun", "{c} hair in a bun"],
        "ponytail": ["a {c} ponytail", "{c} hair in a ponytail"], "pigtails": ["{c} pigtails", "{c} hair in pigtails"], "side part": ["{c} side part hair", "short {c} hair with a side part"],
        "bangs": ["{c} hair with bangs", "{c} bangs"], "braids": ["{c} braids", "{c} braided hair"]}
MOUTH = {"smiling": ["smiling", "happy", "a smile", "smiling happily", "with a happy smile"], "laughing": ["laughing", "a big laugh", "laughing with open mouth", "a big grin"],
         "neutral": ["neutral expression", "calm", "serious", "a straight face"], "sad": ["sad", "frowning", "a sad face", "unhappy"], "surprised": ["surprised", "shocked", "a surprised face", "astonished"],
         "talking": ["talking", "mouth open", "speaking"], "angry": ["angry", "an angry face", "mad", "furious"]}
GLASSES = {"round glasses": ["round glasses", "wearing round glasses", "glasses"], "square glasses": ["square glasses", "wearing square glasses", "glasses"], "sunglasses": ["sunglasses", "wearing sunglasses", "dark sunglasses", "shades"],
           "glasses": ["glasses", "wearing glasses"], "an eye patch": ["an eye patch", "wearing an eye patch"]}
BEARD = {"full beard": ["a full beard", "a beard", "bearded"], "moustache": ["a moustache", "a mustache"], "goatee": ["a goatee", "a small beard"], "beard": ["a beard", "bearded"]}
STYLE = {"flat cartoon": ["flat cartoon", "flat", "simple cartoon"], "outlined cartoon": ["outlined cartoon", "outlined", "comic"], "sketch": ["sketch", "hand drawn sketch"], "ink drawing": ["ink drawing", "ink"],
         "black and white drawing": ["black and white drawing", "black and white"], "shaded cartoon": ["shaded cartoon", "shaded"]}
SCENE = {"beach": ["at the beach", "on a beach", "by the sea"], "night sky": ["under a night sky", "at night, stars", "night sky background"], "forest": ["in a forest", "in the woods", "trees behind"],
         "city": ["in a city", "city background", "skyscrapers behind"], "mountains": ["in the mountains", "mountains behind"], "red curtain": ["on a stage, red curtain", "on stage", "red curtain background"],
         "brick wall": ["in front of a brick wall", "brick wall background"], "space": ["in space", "outer space background", "planets and stars behind"], "sunset": ["at sunset", "sunset background"],
         "snow": ["in the snow", "snowy background", "winter"], "living room": ["in a living room", "at home", "in a room"], "garden": ["in a garden", "flowers and grass behind", "in a meadow"]}
PATTERN = {"striped": ["striped", "stripes on a"], "dotted": ["dotted", "polka dot"], "checkered": ["checkered", "checked"], "gradient": ["gradient"], "sunburst": ["sunburst", "rays on a"]}


def color(name: str, rng: random.Random) -> str:
    # The plain name most of the time: synonyms are to be understood, not to blur the name.
    return name if rng.random() < 0.75 else rng.choice(COLOR.get(name, [name]))


def background(a: dict, rng: random.Random) -> str:
    if "scene" in a:
        return rng.choice(SCENE[a["scene"]])
    words = color(a["bg"], rng)
    if a["pattern"] in PATTERN and rng.random() < 0.8:
        words = f"{rng.choice(PATTERN[a['pattern']])} {words}"
    return rng.choice(["{} background", "on a {} background", "a {} background", "{} backdrop", "in front of a {} background"]).format(words)


def _garment(a: dict, rng: random.Random) -> str:
    c, wear = color(a["clothes"], rng), a["wear"]
    if a["kind"] == "robot":
        return rng.choice([f"a {c} body", f"{c} body"])
    plural = wear == "overalls"
    return rng.choice([f"a {c} {wear}" if not plural else f"{c} overalls", f"wearing {'' if plural else 'a '}{c} {wear}", f"{c} {wear}", f"{c} clothes", f"dressed in {c}"])


def parts(a: dict, rng: random.Random) -> list[str]:
    """One phrase for each thing the picture is known to show, the background left out."""
    c, out = rng.choice, []
    if "hair" in a or "hair_color" in a:
        tint = color(a["hair_color"], rng) if "hair_color" in a else ""
        out.append(c(HAIR[a["hair"]]).format(c=tint) if "hair" in a else f"{tint} hair")
    if "skin" in a:
        out.append(f"{color(a['skin'], rng)} skin")
    if "fur" in a:
        out.append(f"{color(a['fur'], rng)} fur")
    if "metal" in a:
        out += [c([f"a {color(a['metal'], rng)} head", f"{color(a['metal'], rng)} metal"]), f"{a['light']} eyes", c([f"a {a['head']} head", f"{a['head']} head"])]
        if a["antenna"] != "none":
            out.append({"one": "an antenna", "two": "two antennas"}[a["antenna"]])
    if "mouth" in a:
        out.append(c(MOUTH[a["mouth"]]))
    if "glasses" in a:
        out.append(c(GLASSES[a["glasses"]]) if a["glasses"] != "none" else "no glasses" if rng.random() < 0.2 else "")
    if "beard" in a:
        out.append(c(BEARD[a["beard"]]) if a["beard"] != "none" else "no beard" if rng.random() < 0.1 else "")
    if a.get("hat", "none") != "none":
        out.append(c(["a {} {}", "wearing a {} {}", "{} {}", "a {} {} on the head"]).format(color(a["hat_color"], rng), a["hat"]))
    if "clothes" in a:
        out.append(_garment(a, rng))
    if a.get("accessory", "none") != "none":
        article = "a " if a["accessory"] in ("bow tie", "scarf", "necklace", "flower in the hair") else ""
        out.append(f"{article}{color(a['accessory_color'], rng) + ' ' if 'accessory_color' in a else ''}{a['accessory']}")
    return [" ".join(p.split()) for p in out if p]


def caption(a: dict, rng: random.Random, keep: float = 0.75) -> str:
    c = rng.choice
    words = [p for p in parts(a, rng) if rng.random() < keep]
    behind = background(a, rng) if rng.random() < 0.9 else ""
    rng.shuffle(words)
    if behind:
        words.insert(len(words) if rng.random() < 0.6 else rng.randrange(len(words) + 1), behind)
    who = {"person": ["a person", "a character", "someone", "a face", "a man" if a.get("beard", "none") != "none" else "a person"]}.get(a["kind"], [f"a {a['kind']}", f"a {a['kind']}", "a character"])
    style = c(STYLE[a["style"]]) if rng.random() < 0.6 else ""
    subject = c(who)
    head = c([f"{style} portrait of {subject}", f"a {style} portrait of {subject}", f"{style} picture of {subject}", f"{subject}, {style}" if style else subject, f"{style} {subject.split(' ', 1)[-1]}"])
    text = head + c([", ", " with ", ", "]) + ", ".join(words) if words else head
    return re.sub(r"\ba (?=[aeiou])", "an ", " ".join(text.split()).strip(", "))
