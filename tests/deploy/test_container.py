"""The Containerfile and YAML files: linters, and agreement with the project's files."""

from __future__ import annotations

import re
from typing import Final

from tests.deploy.chart import DEPLOY
from tests.support import programs

_ROOT: Final = DEPLOY.parent
_TOOLS: Final = _ROOT / "build/deploy/bin"
_CONTAINERFILE: Final = DEPLOY / "container/Containerfile"
_YAML_RULES: Final = (
    "{extends: default, rules: {line-length: {max: 180}, document-start: disable, braces: disable, "
    "brackets: disable, indentation: {indent-sequences: whatever}, comments: {min-spaces-from-content: 1}}}"
)


def test_containerfile_has_no_findings_of_hadolint() -> None:
    assert programs.run([_TOOLS / "hadolint", _CONTAINERFILE], _ROOT) == ""


def test_yaml_files_have_no_findings_of_yamllint() -> None:
    files = [path for path in sorted(DEPLOY.rglob("*.yaml")) if "templates" not in path.parts]
    assert files
    assert programs.run([_TOOLS / "yamllint", "--strict", "-d", _YAML_RULES, *files], _ROOT) == ""


def test_base_image_has_no_default() -> None:
    text = _CONTAINERFILE.read_text()
    assert re.findall(r"^ARG BASE(.*)$", text, re.MULTILINE) == [""]
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}


def test_user_is_a_number_other_than_root() -> None:
    (user,) = re.findall(r"^USER (\d+):\d+$", _CONTAINERFILE.read_text(), re.MULTILINE)
    assert int(user) > 0


def test_context_holds_what_the_image_copies_and_nothing_else() -> None:
    ignored, *admitted = [
        line for line in (_ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert ignored == "*"
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", _CONTAINERFILE.read_text(), re.MULTILINE)
    assert sorted(f"!{name}" for names in copied for name in names.split()) == sorted(admitted)
