"""Typesetting of the sketch model: text wrapped and sized to fit, in Pillow's built-in typeface.

The typeface has ASCII and a few marks, no accents. Lengths are in pixels. Texts come from `legible`, so the typeface
has all their characters.
"""

# ruff: noqa: RUF001 - the tables list ambiguous characters on purpose

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Final

from PIL import ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.providers.local.sketch.palette import Colour
    from PIL import Image

SMALLEST: Final = 9
"""Smallest size of letters."""
_LEADING: Final = 1.28
_LONGEST: Final = 600
"""Most characters of a prompt that are set: measuring more takes time without a visible effect."""
_MARKS: Final = frozenset("©«°±´·»‘’“”…‹›")


def _pairs(signs: str, letters: str) -> dict[str, str]:
    """Return the letters of each sign, both lists separated by blanks; `|` means no letter."""
    return {sign: latin.replace("|", "") for sign, latin in zip(signs.split(), letters.split(), strict=True)}


_LATIN: Final = str.maketrans(
    _pairs(
        "а б в г д е ж з и й к л м н о п р с т у ф х ц ч ш щ ъ ы ь э ю я ё і ї є ґ",
        "a b v g d e zh z i y k l m n o p r s t u f kh ts ch sh shch | y | e yu ya yo i yi ye g",
    )
    | _pairs(
        "α β γ δ ε ζ η θ ι κ λ μ ν ξ ο π ρ σ ς τ υ φ χ ψ ω",
        "a v g d e z i th i k l m n x o p r s s t y f ch ps o",
    )
    | _pairs(
        "ß æ œ ø ł đ þ ð ı € £ –  —  ‐  ‑  − × → • „ ‚ ′ ″ ¿ ¡ 、 。",
        "ss ae oe o l d th d i EUR GBP - - - - - x -> · “ ‘ ' \" ? ! , .",
    )
)


def _spoken(char: str) -> str:
    """Return the Latin reading in a character's Unicode name, for kana and hangul; otherwise empty."""
    kind, _, reading = unicodedata.name(char, "").rpartition(" ")
    spelled = kind in {"HIRAGANA LETTER", "KATAKANA LETTER", "HANGUL SYLLABLE"}
    return reading.lower() if spelled else ""


def _set(char: str) -> str:
    """Return the replacement of a character: itself, its Latin letters, a blank, an emoji's name, or a raised dot."""
    if " " <= char <= "~" or char in _MARKS:
        return char
    lower = char.lower()
    latin = lower.translate(_LATIN)
    if latin != lower:
        return latin.capitalize() if char != lower else latin
    category = unicodedata.category(char)
    if category[0] == "Z" or char in "\t\n\r\v\f":
        return " "
    if category[0] in "CM" or category == "Sk":
        return ""
    if category == "So":
        name = unicodedata.name(char, "").lower()
        return f" ({name}) " if name else "·"
    plain = [part for part in unicodedata.normalize("NFKD", char) if " " <= part <= "~"]
    return "".join(plain) or _spoken(char) or "·"


def legible(text: str) -> str:
    """Convert any text to one line of the typeface's characters, at most 600.

    Accents are removed, Cyrillic, Greek, kana and hangul are spelled in Latin letters, emoji are named in
    parentheses, and each run of other signs becomes at most three raised dots.
    """
    # NFC first: decomposed kana and hangul would lose their names.
    composed = unicodedata.normalize("NFC", text[: 2 * _LONGEST])
    joined = "".join(_set(char) for char in composed)
    runs = ("".join(run) for _, run in groupby(joined, key=lambda char: char == "·"))
    shortened = " ".join("".join(run[:3] if run[0] == "·" else run for run in runs).split())
    shortened = shortened.replace(" ,", ",").replace(") .", ").")
    return shortened if len(shortened) <= _LONGEST else shortened[: _LONGEST - 1].rstrip() + "…"


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # Without FreeType Pillow returns a bitmap font of fixed size; Pillow's wheels include FreeType.
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType")
    return font


@cache
def _advance(char: str, size: int) -> float:
    # Hinting rounds small sizes to whole pixels, so widths do not scale between sizes.
    return _font(size).getlength(char)


def _length(text: str, size: int) -> float:
    """Return the width of a text without kerning, which mostly makes text narrower."""
    return sum(_advance(char, size) for char in text)


def _wrap(words: list[str], size: int, width: float) -> list[str]:
    """Return lines no wider than `width`. A wider word is broken."""
    lines: list[str] = []
    line, used = "", 0.0
    space = _advance(" ", size)
    for word in words:
        length = _length(word, size)
        if line and used + space + length <= width:
            line, used = f"{line} {word}", used + space + length
            continue
        if line:
            lines.append(line)
        line, used = word, length
        while used > width and len(line) > 1:
            cut, total = 1, _advance(line[0], size)
            while total + _advance(line[cut], size) <= width:
                total += _advance(line[cut], size)
                cut += 1
            lines.append(line[:cut])
            line, used = line[cut:], used - total
    if line:
        lines.append(line)
    return lines


def _balance(words: list[str], size: int, width: float, lines: list[str]) -> list[str]:
    """Return the same number of lines, with widths as even as the words allow."""
    low, high = width * 0.4, width
    for _ in range(7):
        middle = (low + high) / 2
        tried = _wrap(words, size, middle)
        if len(tried) <= len(lines):
            high, lines = middle, tried
        else:
            low = middle
    return lines


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of text at one size; without lines if the box has no room for legible text."""

    lines: tuple[str, ...]
    size: int

    @property
    def leading(self) -> int:
        """Return the distance between baselines."""
        return round(self.size * _LEADING)

    @property
    def height(self) -> int:
        """Return the distance from the top of the first line's capitals to the last baseline."""
        return self.leading * (len(self.lines) - 1) + round(self.size * 0.72) if self.lines else 0

    @property
    def width(self) -> int:
        """Return the width of the widest line."""
        return math.ceil(max((_length(line, self.size) for line in self.lines), default=0.0))

    def draw(self, image: Image.Image, left: int, top: int, ink: Colour) -> None:
        """Draw the block with its upper left corner, by `height`'s measure, at a position in the image."""
        if not self.lines:
            return
        pen = ImageDraw.Draw(image)
        font = _font(self.size)
        for index, line in enumerate(self.lines):
            baseline = top + round(self.size * 0.72) + index * self.leading
            pen.text((left, baseline), line, fill=ink, font=font, anchor="ls")


def fit(text: str, width: float, height: float, largest: float, *, smallest: float = SMALLEST) -> Block:
    """Return the text at the largest size that fits a box, from `largest` down to `smallest`.

    A text that does not fit at the smallest size ends in an ellipsis.
    """
    floor = max(SMALLEST, round(smallest))
    words = text.split()
    if not words or width < floor * 4 or height < floor * 0.8:
        return Block((), floor)
    size = max(floor, round(largest))
    while True:
        lines = _wrap(words, size, width)
        block = Block(tuple(lines), size)
        # Small letters are better than a broken word, down to 1.25 times the smallest size.
        whole = size <= floor * 1.25 or max(_length(word, size) for word in words) <= width
        if block.height <= height and whole:
            return Block(tuple(_balance(words, size, width, lines)), size)
        if size == floor:
            break
        size = max(floor, min(size - 1, round(size * 0.93)))
    room = max(1, int((height - size * 0.72) / block.leading) + 1)
    if len(lines) > room:
        last = lines[room - 1]
        while last and _length(last + "…", size) > width:
            last = last[:-1]
        lines = [*lines[: room - 1], last.rstrip(" ,.;:-") + "…"]
    return Block(tuple(lines), size)


def spaced(text: str, size: int) -> tuple[int, Callable[[Image.Image, int, int, Colour], None]]:
    """Return the width of small letter-spaced capitals, and a function that draws them (left, baseline)."""
    step = size * 0.14
    letters = text.upper()
    width = round(_length(letters, size) + step * max(0, len(letters) - 1))

    def draw(image: Image.Image, left: int, baseline: int, ink: Colour) -> None:
        pen = ImageDraw.Draw(image)
        place = float(left)
        for letter in letters:
            pen.text((place, baseline), letter, fill=ink, font=_font(size), anchor="ls")
            place += _advance(letter, size) + step

    return width, draw
