"""OpenAI's own SDK tests of images, from its source distribution: strict about the type of every field."""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING, Final

import pytest

from tests.clients import suites
from tests.support import programs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.suites import Gateway

_ARCHIVES: Final = suites.ROOT / "build/openai-sdist"
_PLUGIN: Final = suites.HERE / "openai_suite"
_LEAST: Final = 80
"""Fewer tests than this means that the distribution changed its layout: 16 tests, for 2 sync and 3 async clients."""


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    """Return the unpacked source distribution."""
    (archive,) = _ARCHIVES.glob("openai-*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    return folder


def test_openais_own_tests_of_images_pass(gateway: Gateway, distribution: Path) -> None:
    output = programs.run(
        [
            *(suites.PYTHON, "-m", "pytest", "-p", "gateway_plugin", "--override-ini", "addopts=-n 4 --tb=short"),
            *("-k", "not create_variation", "tests/api_resources/test_images.py"),
        ],
        distribution,
        {
            **gateway.environment(),
            "TEST_API_BASE_URL": f"{gateway.url}/v1",
            "PYTHONPATH": str(_PLUGIN),
        },
    )
    summary = re.search(r"^=+ (\d+) passed(?P<rest>.*) in ", output, re.MULTILINE)
    assert summary, output
    assert int(summary[1]) >= _LEAST, output
    assert not summary["rest"], output
