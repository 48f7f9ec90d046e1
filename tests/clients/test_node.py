"""Clients for Node: OpenAI's SDK and Vercel's AI SDK, of the versions in `node/package-lock.json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.clients import suites
from tests.support import programs

if TYPE_CHECKING:
    from tests.clients.suites import Gateway

_FOLDER: Final = suites.HERE / "node"


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    """Install the locked packages."""
    programs.run([programs.NODE_BIN / "npm", "ci", "--ignore-scripts"], _FOLDER)


@pytest.mark.parametrize("suite", ["ai-sdk", "openai"])
def test_node_client_passes_its_suite(gateway: Gateway, suite: str) -> None:
    output = programs.run(
        [programs.NODE_BIN / "node", "--test", "--test-reporter=tap", f"{suite}.test.mjs"],
        _FOLDER,
        {**gateway.environment(), "AI_SDK_LOG_WARNINGS": "false"},
    )
    assert "\n# fail 0\n" in output
    assert "\n# skipped 0\n" in output


def test_node_lock_file_names_no_registry() -> None:
    packages = json.loads((_FOLDER / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
