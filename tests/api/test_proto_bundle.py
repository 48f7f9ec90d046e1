"""The archive of protos: whole, the same for the same sources, and enough to generate clients in other languages."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from tests.api import tools
from tools import proto_bundle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def protos(tmp_path: Path) -> Path:
    """Return the unpacked archive."""
    (tmp_path / "dist").mkdir()
    with ZipFile(proto_bundle.build(tmp_path / "dist")) as archive:
        archive.extractall(tmp_path)
    (folder,) = tmp_path.glob("imagegateway-proto-*")
    return folder


@pytest.mark.parametrize(("language", "made"), [("java", "**/ImageServiceOuterClass.java"), ("cpp", "**/job.pb.h")])
def test_archive_generates_code_for_another_language(protos: Path, language: str, made: str) -> None:
    files = [str(path.relative_to(protos)) for path in sorted(protos.glob("proto/**/*.proto"))]
    (protos / "out").mkdir()
    tools.run([tools.PYTHON / "protoc", "--proto_path=proto", f"--{language}_out=out", *files], protos)
    assert list((protos / "out").glob(made))


def test_archive_has_its_licence_its_manual_and_a_module_of_buf(protos: Path) -> None:
    assert {path.name for path in protos.iterdir()} == {"LICENSE", "README.md", "buf.yaml", "proto"}
    tools.run([tools.ROOT / ".venv/bin/buf", "build"], protos)


def test_archive_is_the_same_for_the_same_sources(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    assert proto_bundle.build(first).read_bytes() == proto_bundle.build(second).read_bytes()
