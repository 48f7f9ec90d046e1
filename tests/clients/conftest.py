"""The gateway that real clients call, with emulators in place of the providers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import pytest

from tests.clients.suites import Gateway
from tests.emulators.bfl import Bfl
from tests.gateway.inputs import image_bytes, mask
from tests.gateway.providers.providers import every, serving
from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.providers.providers import Providers

collect_ignore = ["litellm_suite", "openai_suite"]
"""Tests that run in the clients' Python."""

_SLOW: Final = ("Pending", "Pending", "Ready")
"""States of a task at bfl: slow models need several polls, as at the real provider."""


@pytest.fixture(scope="session")
def providers() -> Iterator[Providers]:
    with serving({**every(), "bfl": Bfl(key=f"operator-{secrets.token_hex(16)}", script=_SLOW)}) as served:
        yield served


@pytest.fixture(scope="session")
def gateway(providers: Providers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Yield a running gateway with every route configured, and the files that clients upload."""
    with running(**providers.settings(), inline_wait="60") as stack:
        yield Gateway(stack.url, stack.key, _files(tmp_path_factory.mktemp("files")))
        assert not [line for line in stack.log_lines() if stack.key in line]


def _files(folder: Path) -> Path:
    (folder / "input.png").write_bytes(image_bytes(96))
    (folder / "mask.png").write_bytes(mask(96))
    return folder
