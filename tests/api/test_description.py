"""The served OpenAPI document, checked against the gateway by Schemathesis."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from imagegateway.platform import setting_source

from tests.gateway.providers.providers import every, serving
from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack

_ROOT: Final = Path(__file__).parents[2]
_PROGRAM: Final = _ROOT / "build/api/bin/schemathesis"
"""Schemathesis, installed separately by `make test-api`."""
_SECONDS: Final = 240.0


@pytest.fixture(scope="module")
def gateway() -> Iterator[Stack]:
    """Yield a running gateway with every route configured."""
    with serving(every()) as providers, running(**providers.settings()) as stack:
        yield stack


def test_every_answer_is_as_described(gateway: Stack) -> None:
    done = subprocess.run(
        [
            *(_PROGRAM, "--config-file", "tests/api/schemathesis.toml", "run", "--no-color"),
            f"{gateway.url}/openapi.json",
        ],
        cwd=_ROOT,
        env={**setting_source.environment(), "PYTHONPATH": str(_ROOT), "GATEWAY_KEY": gateway.key},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
