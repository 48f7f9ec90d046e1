"""LiteLLM, installed separately: its pinned dependencies conflict with the gateway's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.clients import suites
from tests.support import programs

if TYPE_CHECKING:
    from tests.clients.suites import Gateway
    from tests.gateway.providers.providers import Providers


def test_litellm_passes_its_suite(gateway: Gateway) -> None:
    _run(gateway, "not moderation")


def test_litellm_recognises_a_moderation_error(gateway: Gateway, providers: Providers) -> None:
    emulator: Any = providers["openai"]
    emulator.blocked = "input"
    try:
        _run(gateway, "moderation")
    finally:
        emulator.blocked = ""


def _run(gateway: Gateway, chosen: str) -> None:
    output = programs.run(
        [
            *(suites.PYTHON, "-m", "pytest", "--noconftest", "--override-ini", "addopts=", "-k", chosen),
            *("--override-ini", "filterwarnings=default", "--disable-warnings", "--tb=short"),
            "tests/clients/litellm_suite",
        ],
        suites.ROOT,
        {**gateway.environment(), "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )
    assert " passed" in output
    assert " skipped" not in output
