"""What a prompt can ask of a portrait, and with which words: the attributes the reader answers to, their values, and phrases for them.

A phrase is words with single spaces; `*` stands for one word or none. The program reads prompts with the same table."""

from captions import BEARD, COLOR, GLASSES, HAIR, MOUTH, SCENE

COLORS = ["red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "white", "gray", "black", "brown"]
HAIRS = ["black", "brown", "blonde", "ginger", "gray", "white", "blue", "pink", "green", "purple"]
SKINS = ["pale", "light", "tan", "brown", "dark", "green", "blue", "purple"]
FURS = ["orange", "brown", "black", "white", "gray", "yellow", "pink", "blue"]
HATS = ["beanie", "cap", "top hat", "cowboy hat", "crown", "party hat", "wizard hat", "headband", "hard hat"]
ANIMALS = ["cat", "dog", "bear", "rabbit", "fox", "panda"]
WEAR = ["t-shirt", "striped shirt", "hoodie", "suit", "sweater", "overalls", "dress", "jacket", "body", "shirt", "jersey"]
GARMENTS = [*WEAR, "clothes", "* shirt"]
HAIR_NOUNS = ["hair", "mohawk", "bob", "afro", "bun", "ponytail", "pigtails", "braids", "curls", "spikes", "bangs"]
PEOPLE = ["person", "man", "woman", "boy", "girl", "someone"]

SHOWN_UNDER_HATS = ["bob", "long", "afro", "ponytail", "pigtails", "braids"]

# Attribute: its values. `behind` is the background's colour or its scene.
VALUES = {
    "behind": [*COLORS, *SCENE], "kind": ["person", "robot", *ANIMALS], "clothes": COLORS, "wear": WEAR, "skin": SKINS, "hair": list(HAIR), "hair_color": HAIRS, "hat": ["none", *HATS], "hat_color": COLORS,
    "glasses": ["none", *GLASSES], "beard": ["none", *BEARD], "mouth": list(MOUTH), "metal": [c for c in COLORS if c != "black"], "fur": FURS,
}


def answers(a: dict) -> dict:
    """What is to be answered of a picture with these attributes; what is not known of it is left out."""
    found = {name: a[name] for name in VALUES if a.get(name) in VALUES[name]}
    found["behind"] = a["scene"] if "scene" in a else a["bg"]
    # What a hat hides nobody can tell, nor the colour of no hair.
    hidden = a.get("hat", "none") not in ("none", "crown", "headband")
    if hidden and a.get("hair") not in SHOWN_UNDER_HATS:
        found.pop("hair", None)
    if a.get("hair") == "bald" or hidden and a.get("hair") in ("spiky", "mohawk", "bun", "short", "side part"):
        found.pop("hair_color", None)
    return found


def _colors(name: str) -> list[str]:
    return list(dict.fromkeys([name, *COLOR.get(name, [])]))


def phrases() -> list[dict]:
    """Every question as {attribute, values that all satisfy it, phrases}."""
    out = []

    def ask(attribute: str, values: list[str], words: list[str]):
        out.append({"attribute": attribute, "values": values, "phrases": list(dict.fromkeys(w.removeprefix("a ").removeprefix("an ") for w in words))})

    for c in COLORS:
        ask("behind", [c], [f"{w} {p}" for w in _colors(c) for p in ("background", "backdrop")])
        ask("clothes", [c], [f"{w} {g}" for w in _colors(c) for g in GARMENTS] + [f"dressed in {w}" for w in _colors(c)])
        ask("hat_color", [c], [f"{w} {h}" for w in _colors(c) for h in HATS])
    for name, words in SCENE.items():
        ask("behind", [name], [name, *(w.replace(", ", " ") for w in words), *(w.split(", ")[0] for w in words)])
    ask("kind", ["person"], PEOPLE)
    ask("kind", ["robot"], ["robot"])
    for name in ANIMALS:
        ask("kind", [name], [name])
    for name in WEAR:
        if name != "body":
            ask("wear", [name], [name])
    for c in SKINS:
        ask("skin", [c], [f"{w} skin" for w in _colors(c)])
    for name, words in HAIR.items():
        ask("hair", [name], [" ".join(w.format(c="*").split()) for w in words])
    for c in HAIRS:
        ask("hair_color", [c], [f"{w} * {n}" for w in _colors(c) for n in HAIR_NOUNS] + (["redhead"] if c == "ginger" else []))
    for name in HATS:
        ask("hat", [name], [name])
    ask("hat", HATS, ["hat"])
    ask("hat", ["none"], ["no hat", "without * hat"])
    ask("glasses", [g for g in GLASSES if "glasses" in g and g != "sunglasses"], ["glasses"])
    for name in ("round glasses", "square glasses"):
        ask("glasses", [name, "glasses"], [name])
    ask("glasses", ["sunglasses"], ["sunglasses", "shades", "dark glasses"])
    ask("glasses", ["an eye patch"], ["eye patch"])
    ask("glasses", ["none"], ["no glasses", "without glasses"])
    ask("beard", ["full beard", "beard", "goatee"], ["beard", "bearded"])
    ask("beard", ["full beard", "beard"], ["full beard"])
    ask("beard", ["moustache"], ["moustache", "mustache"])
    ask("beard", ["goatee"], ["goatee", "small beard"])
    ask("beard", ["none"], ["no beard", "without * beard"])
    for name, words in MOUTH.items():
        ask("mouth", [name], [w.removeprefix("with ") for w in words])
    for c in VALUES["metal"]:
        ask("metal", [c], [f"{w} {n}" for w in _colors(c) for n in ("head", "metal", "robot")])
    for c in FURS:
        ask("fur", [c], [f"{w} {n}" for w in _colors(c) for n in ("fur", *ANIMALS)])
    return out
