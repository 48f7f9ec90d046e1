"""Models without a key: their entry and the error of a call name the missing setting."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.gateway.jobs.stacks import new_caller
from tests.gateway.providers.asking import over_both, request

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.support.stack import Stack


@pytest.fixture(scope="module")
def caller(stack: Stack) -> Caller:
    """Return a tenant without stored keys."""
    return new_caller(stack, f"tenant-{secrets.token_hex(6)}")


@pytest.mark.parametrize(
    ("model_id", "setting"),
    [
        ("openai/gpt-image-2", "IMAGEGATEWAY_OPENAI_API_KEY"),
        ("stability-ai/sdxl", "IMAGEGATEWAY_REPLICATE_API_KEY"),
        ("stability-ai/sdxl", "IMAGEGATEWAY_AUTOMATIC1111_BASE_URL"),
        ("google/gemini-omni-1.2-flash", "IMAGEGATEWAY_GOOGLE_API_KEY"),
        ("bria/fibo-edit/edit", "IMAGEGATEWAY_BRIA_API_KEY"),
    ],
)
def test_model_without_a_key_names_the_setting_in_its_entry_and_its_error(
    caller: Caller, model_id: str, setting: str
) -> None:
    models = caller.ask("GET", "/v1/models").json()["data"]
    (model,) = [each for each in models if each["id"] == model_id]
    assert not model.get("available")
    assert setting in model["unavailable_reason"]
    first, second = over_both(caller, request(model_id))
    assert first.failure is not None
    assert first.failure == second.failure
    assert (first.failure.code, first.failure.waits) == ("provider_not_configured", True)
    assert setting in first.failure.message
