"""Several images in one call: the response has the finished ones and a warning for each missing one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.gateway.providers.asking import assert_described_correctly, over_both, over_rest, request
from tests.gateway.providers.failing import ROUTES
from tests.gateway.providers.providers import submissions
from tests.gateway.providers.test_failures import changed

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

FANNED_OUT: Final = {
    "bfl": "bfl/flux-2-pro",
    "bria": "bria/fibo/generate-lite",
    "bytedance": "bytedance/seedream-5-pro",
    "cloudflare": "bfl/flux-2-dev",
    "google": "google/gemini-2.5-flash-image",
    "openai": "openai/dall-e-3",
    "stability": "stability-ai/stable-image-core",
}
"""Models that make one image per request."""
WHOLE: Final = {"ideogram": "ideogram/ideogram-v3", "openai": "openai/gpt-image-2", "recraft": "recraft/recraft-v4"}
"""Models that make several images per request."""


@pytest.mark.parametrize("route", sorted(FANNED_OUT))
def test_failure_of_one_image_of_three_is_a_warning(caller: Caller, providers: Providers, route: str) -> None:
    emulator = providers[route]
    emulator.failures[:] = [ROUTES[route].answers["provider_error"]]
    said = over_rest(caller, request(FANNED_OUT[route], n=3))
    assert said.failure is None, said.failure
    assert len(said.images) == emulator.billed == 2
    for image in said.images:
        assert_described_correctly(image, providers.made)
    warned = [warning for warning in said.document["warnings"] if warning["code"] != "model_retired"]
    assert [warning["code"] for warning in warned] == ["image_failed"]
    assert len(submissions(emulator)) == 3


@pytest.mark.parametrize("route", sorted(FANNED_OUT))
def test_failure_of_all_images_fails_the_call_after_two_attempts(
    caller: Caller, providers: Providers, route: str
) -> None:
    emulator = providers[route]
    emulator.failures[:] = [ROUTES[route].answers["provider_error"]] * 6
    first, second = over_both(caller, request(FANNED_OUT[route], n=3))
    assert first.failure is not None
    assert first.failure == second.failure
    assert first.failure.code == "provider_error"
    assert (len(submissions(emulator)), emulator.billed) == (6, 0)
    assert over_rest(caller, request(FANNED_OUT[route])).failure is None


@pytest.mark.parametrize("route", sorted(WHOLE))
def test_model_that_makes_several_images_is_called_once(caller: Caller, providers: Providers, route: str) -> None:
    for said in over_both(caller, request(WHOLE[route], n=3)):
        assert said.failure is None, said.failure
        assert len(said.images) == 3
    assert (len(submissions(providers[route])), providers.billed()) == (2, {route: 6})


@pytest.mark.parametrize(
    ("route", "values"), [("recraft", {"short": 1}), ("openai", {"withheld": 1}), ("replicate", {"flagged": 1})]
)
def test_response_with_too_few_images_has_a_warning(
    caller: Caller, providers: Providers, route: str, values: dict[str, int]
) -> None:
    with changed(providers[route], **values):
        said = over_rest(caller, request(WHOLE.get(route, "stability-ai/sdxl"), n=3))
    assert said.failure is None, said.failure
    assert len(said.images) == providers[route].billed == 2
    assert [warning["code"] for warning in said.document["warnings"]] == ["image_failed"]
