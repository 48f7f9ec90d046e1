"""`usage` as callers read it: every number that OpenAI's schema requires, or none; in answers, events and jobs."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.emulators.base import image_bytes
from tests.gateway.providers.asking import over_both, path, request
from tests.gateway.providers.test_partial_images import streaming

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

_COUNTED: Final = ("google/gemini-2.5-flash-image", "google/gemini-3-pro-image", "bytedance/seedream-4.5")
_TOTALS: Final = ("input_tokens", "output_tokens", "total_tokens")
_KINDS: Final = ("text_tokens", "image_tokens")


def assert_whole(usage: Mapping[str, Any]) -> None:
    totals = [usage.get(name) for name in _TOTALS]
    kinds = [usage.get("input_tokens_details", {}).get(kind) for kind in _KINDS]
    assert {type(number) for number in (*totals, *kinds)} == {int}, usage


@pytest.mark.parametrize("model", [*_COUNTED, "bytedance/seedream-3", "openai/gpt-image-2"])
def test_usage_is_complete_in_response_job_and_events(caller: Caller, providers: Providers, model: str) -> None:
    for said in over_both(caller, request(model)):
        assert said.failure is None, said.failure
        assert_whole(said.document["usage"])
    assert_whole(caller.job(said.document["id"])["usage"])
    body = request(model, stream=True)
    with streaming(caller, body, path(body)) as response:
        events = [json.loads(line[6:]) for line in response.read().splitlines() if line.startswith(b"data: {")]
    assert_whole(events[-1]["usage"])


@pytest.mark.parametrize("counted", [{"total_tokens": 5}, {"output_tokens": 4}, {"input_tokens": 3}])
def test_partial_usage_of_a_provider_is_left_out(
    caller: Caller, providers: Providers, counted: dict[str, int]
) -> None:
    data = [{"b64_json": base64.b64encode(image_bytes(1024, 1024)).decode()}]
    providers["openai"].failures[:] = [(200, {"data": data, "usage": counted}, {})] * 2
    for said in over_both(caller, request("openai/gpt-image-2")):
        assert said.failure is None, said.failure
        assert "usage" not in said.document
