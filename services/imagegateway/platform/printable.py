"""Texts for a terminal, without the characters that would control it."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Escape control characters, line ends and changes of direction, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        character if character in keep or character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
