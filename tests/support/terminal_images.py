"""Decoders of images in a terminal's output, written from the protocols' descriptions."""

from __future__ import annotations

import base64
import io
import re

from PIL import Image

_KITTY = re.compile(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\")
_ITERM2 = re.compile(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07")
_SIXEL = re.compile(r"\x1bP([\d;]*)q([^\x1b]*)\x1b\\")
_SIXEL_PART = re.compile(r'"(?P<raster>[\d;]+)|#(?P<colour>[\d;]+)|!(?P<count>\d+)(?P<run>.)|(?P<one>.)', re.DOTALL)
_CELL = re.compile(r"\x1b\[([\d;]*)m|([▀▄ \n])|[^\x1b]")


def kitty(output: str) -> tuple[Image.Image, dict[str, str]]:
    """Return the image of Kitty's protocol, and the keys of its first sequence."""
    found = _KITTY.findall(output)
    keys = [dict(pair.split("=") for pair in text.split(",")) for text, _ in found]
    assert [one["m"] for one in keys] == ["1"] * (len(keys) - 1) + ["0"]
    assert all(len(payload) <= 4096 for _, payload in found)
    return _png("".join(payload for _, payload in found)), keys[0]


def iterm2(output: str) -> tuple[Image.Image, dict[str, str]]:
    """Return the image of iTerm2's protocol, and its arguments."""
    (found,) = _ITERM2.findall(output)
    arguments = dict(pair.split("=") for pair in found[0].split(";"))
    assert int(arguments["size"]) == len(base64.b64decode(found[1]))
    return _png(found[1]), arguments


def _png(payload: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(payload, validate=True))).convert("RGBA")


def sixel(output: str) -> Image.Image:
    """Return the image of sixels. Pixels that no sixel sets are transparent."""
    (found,) = _SIXEL.findall(output)
    assert found[0].split(";")[1] == "1", "pixels without a sixel keep the background"
    image = Image.new("RGBA", (1, 1))
    colours: dict[str, tuple[int, int, int, int]] = {}
    colour = ""
    x = top = 0
    for part in _SIXEL_PART.finditer(found[1]):
        if raster := part["raster"]:
            width, height = map(int, raster.split(";")[2:])
            image = Image.new("RGBA", (width, height))
        elif part["colour"]:
            colour, *levels = part["colour"].split(";")
            if levels:
                red, green, blue = (round(int(level) * 255 / 100) for level in levels[1:])
                colours[colour] = (red, green, blue, 255)
        elif part["one"] == "$":
            x = 0
        elif part["one"] == "-":
            x, top = 0, top + 6
        else:
            bits = ord(part["run"] or part["one"]) - 0x3F
            end = x + int(part["count"] or 1)
            for at in range(x, end):
                for row in range(6):
                    if bits >> row & 1:
                        image.putpixel((at, top + row), colours[colour])
            x = end
    return image


def half_blocks(output: str) -> Image.Image:
    """Return the image of half blocks in 24-bit colours. The output has nothing else but line ends."""
    rows: list[list[tuple[tuple[int, ...], tuple[int, ...]]]] = [[]]
    clear: tuple[int, ...] = (0, 0, 0, 0)
    front, back = clear, clear
    for sequence, character in _CELL.findall(output.replace("\r", "").strip("\n")):
        if character == "\n":
            rows.append([])
        elif character:
            rows[-1].append({"▀": (front, back), "▄": (back, front), " ": (back, back)}[character])
        else:
            codes = list(map(int, (sequence or "0").split(";")))
            front, back = clear, clear  # each style of rich begins with a reset
            while codes:
                match codes.pop(0):
                    case 38:
                        front, codes = (*codes[1:4], 255), codes[4:]
                    case 48:
                        back, codes = (*codes[1:4], 255), codes[4:]
                    case code:
                        assert code == 0
    image = Image.new("RGBA", (len(rows[0]), 2 * len(rows)))
    for y, row in enumerate(rows):
        for x, (upper, lower) in enumerate(row):
            image.putpixel((x, 2 * y), upper)
            image.putpixel((x, 2 * y + 1), lower)
    return image
