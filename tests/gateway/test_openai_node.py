"""OpenAI's Node SDK against the stack: `node/openai.test.mjs` with the locked package."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from tests.gateway import cases
from tests.gateway.inputs import MAX_FILE, image_bytes, mask, padded
from tests.support import node, programs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return node.environment()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "input.png").write_bytes(image_bytes(96))
    (tmp_path / "mask.png").write_bytes(mask(96))
    (tmp_path / "small-mask.png").write_bytes(mask(64))
    (tmp_path / "large.png").write_bytes(padded(MAX_FILE + 1))
    return tmp_path


def test_node_sdk_unchanged_passes_its_own_suite(stack: Stack, environment: dict[str, str], files: Path) -> None:
    done = subprocess.run(
        [programs.NODE_BIN / "node", "--test", "--test-reporter=tap", "openai.test.mjs"],
        cwd=node.FOLDER,
        env={
            **environment,
            "GATEWAY_URL": stack.url,
            "GATEWAY_KEY": stack.key,
            "GATEWAY_FILES": str(files),
            "GATEWAY_REASONS": json.dumps([asdict(row) for row in cases.reasons().values()]),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n# fail 0\n" in done.stdout
    assert "\n# skipped 0\n" in done.stdout


def test_node_lock_file_names_no_registry() -> None:
    packages = json.loads((node.FOLDER / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert packages["node_modules/openai"]["integrity"].startswith("sha512-")
