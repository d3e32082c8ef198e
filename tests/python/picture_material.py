"""Pictures to learn from, good and bad, drawn here where they can be."""

from __future__ import annotations

import pathlib
import shutil

from PIL import Image, ImageDraw

from material import FIXTURES

COLOURS = ["#3060d0", "#d0a020", "#30a050", "#c03060", "#8040c0", "#208090"]


def drawing(n: int, size: int = 96) -> Image.Image:
    """A figure of its own colour before a plain wall, never twice the same."""
    picture = Image.new("RGB", (size, size + 8 * (n % 3)), COLOURS[n % len(COLOURS)])
    draw = ImageDraw.Draw(picture)
    left = 20 + n
    draw.ellipse((left, 18, left + 44, 66), "#f0c8a0", "black")
    draw.rectangle((left + 4, 66, left + 40, 96), "#404048")
    draw.rectangle((left + 10, 34, left + 16, 38 + n % 4), "black")
    draw.rectangle((left + 28, 34, left + 34, 38 + n % 4), "black")
    return picture


def lay_out(folder: pathlib.Path) -> None:
    """`good/` (six drawings, captions beside two), `mixed/` (four good, three of no use), `one/`, `none/`."""
    for name in ("good", "mixed", "one", "none"):
        (folder / name).mkdir()
    for n in range(6):
        drawing(n).save(folder / "good" / f"{n}.png")
    (folder / "good" / "0.txt").write_text("a robot with a red hat")
    (folder / "good" / "1.txt").write_text("portrait of {}, long hat")
    for n in range(4):
        drawing(n).save(folder / "mixed" / f"{n}.jpg", quality=95)
    whole = (folder / "good" / "0.png").read_bytes()
    (folder / "mixed" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "mixed" / "text.png").write_text("This is no picture.\n" * 40)
    (folder / "mixed" / "void.png").write_bytes(b"")
    shutil.copy(FIXTURES / "portraits" / "astronaut.png", folder / "one" / "face.png")
    (folder / "none" / "notes.txt").write_text("no picture here")
