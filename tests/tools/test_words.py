"""The word list finds banned phrases and nothing inside longer words."""

from __future__ import annotations

import pytest

from tools.words import load, tracked


def found(text: str, path: str = "docs/page.md") -> list[str]:
    """Return the banned phrases of a text."""
    return [words for phrase in load() for _, words in phrase.find(path, text)]


@pytest.mark.parametrize(
    ("line", "phrase"),
    [
        ("Store the Pictures.", "Pictures"),
        ("pictures_per_place = 2", "pictures"),
        ("They run for ever.", "for ever"),
        ("options that the model has not.", "has not"),
        ("Check it; tells whether it holds.", "tells whether"),
        ('"""What a call needs."""', '"""What'),
    ],
)
def test_banned_phrase_is_found(line: str, phrase: str) -> None:
    assert phrase in found(line)


@pytest.mark.parametrize(
    "line",
    [
        "Done for every job.",
        "The job has not ended.",
        "x is None",
        "pip --quiet",
        "the github page",
        "Return an image.",
    ],
)
def test_other_words_are_not_found(line: str) -> None:
    assert found(line) == []


def test_phrase_is_allowed_in_files_that_it_fits() -> None:
    assert found("the ground of a landscape", "services/local/sketch/scene.py") == []
    assert found("the ground of a landscape") == ["ground"]


@pytest.mark.processes
def test_every_tracked_text_file_is_read() -> None:
    names = {name for name, _ in tracked([])}
    assert {"README.md", "Makefile", "tools/words.py"} <= names
    assert not names & {"LICENSE", "tools/words.toml", "docs/first-image.png"}
