"""Code blocks of pages: which are run, and what they may print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.docs import snippets
from tests.docs.snippets import Snippet

if TYPE_CHECKING:
    from pathlib import Path


def page(folder: Path, *blocks: tuple[str, str]) -> snippets.Page:
    path = folder / "page.md"
    path.write_text("\n".join(f"```{language}\n{text}\n```\n" for language, text in blocks))
    return snippets.read(path)


def test_blocks_of_other_languages_are_not_run(tmp_path: Path) -> None:
    assert page(tmp_path, ("text", "make run"), ("yaml", "a: 1")).snippets == {}


def test_snippets_are_ordered_by_language(tmp_path: Path) -> None:
    read = page(tmp_path, ("python", "a"), ("sh", "b"), ("python", "c"), ("output", "d"))
    assert read.snippets == {"python": [Snippet("a\n"), Snippet("c\n", "d\n")], "sh": [Snippet("b\n")]}


def test_block_with_a_title_is_a_file(tmp_path: Path) -> None:
    read = page(tmp_path, ('python title="receiver.py"', "serve()"))
    assert (read.files, read.snippets) == ({"receiver.py": "serve()\n"}, {})


def test_install_command_is_not_run(tmp_path: Path) -> None:
    read = page(tmp_path, ("sh", "pip install openai pillow"), ("sh", "npm install ai"))
    assert (read.packages, read.snippets) == ({"openai", "pillow", "ai"}, {})


def test_output_without_a_snippet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="output without a snippet"):
        page(tmp_path, ("text", "make run"), ("output", "ready"))


@pytest.mark.parametrize(
    ("expected", "printed", "matches"),
    [
        ("200\n", "200\n", True),
        ("200", "2001", False),
        ('{"id":"job_…"}', '{"id":"job_1"}\n', True),
        ("…done…", "one\ntwo done\nthree", True),
        ("", "", True),
        ("…", "a warning", True),
        ("", "a warning", False),
        ("a.b", "axb", False),
    ],
)
def test_ellipsis_stands_for_any_text(expected: str, printed: str, matches: bool) -> None:
    assert Snippet("", expected).matches(printed) is matches


def test_program_separates_the_outputs_of_its_snippets() -> None:
    code = snippets.program("python", [Snippet("print(1)"), Snippet("print(2)")])
    assert code.count("print(") == 4
    assert snippets.outputs("1\n-- end of snippet --\n2\n-- end of snippet --\n") == ["1\n", "2\n"]
