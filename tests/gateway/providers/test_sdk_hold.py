"""Responses of slow models are held for SDKs that read images and no jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.inputs import FORM, data_url, file_part, form, image_bytes
from tests.gateway.rest import EDITS, GENERATIONS

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

SLOW = {"model": "bfl/flux-2-pro", "prompt": "a red kite over hills"}
SDKS = ({"x-stainless-lang": "python"}, {"user-agent": "ai/5.0.2 ai-sdk/openai/2.0.9 runtime/node.js/22"})


@pytest.mark.parametrize("headers", SDKS)
def test_sdk_without_a_prefer_header_gets_the_images(
    caller: Caller, providers: Providers, headers: dict[str, str]
) -> None:
    made = caller.ask("POST", GENERATIONS, SLOW, headers)
    assert (made.status, len(made.json()["data"])) == (200, 1)
    edited = caller.ask("POST", EDITS, {**SLOW, "image_url": data_url(image_bytes(512, 512))}, headers)
    assert edited.status == 200
    body = form(file_part("image", image_bytes(512, 512)), **SLOW)
    assert caller.ask("POST", EDITS, body, {**FORM, **headers}).status == 200
    assert providers.billed() == {"bfl": 3}


@pytest.mark.parametrize("preference", ["respond-async", "wait=0"])
def test_sdk_with_a_prefer_header_gets_that_response(caller: Caller, preference: str) -> None:
    answer = caller.ask("POST", GENERATIONS, SLOW, {**SDKS[0], "prefer": preference})
    assert answer.status == 202
    assert caller.end(answer.json()["id"])["status"] == "completed"


def test_caller_without_sdk_headers_gets_the_job(caller: Caller) -> None:
    answer = caller.ask("POST", GENERATIONS, SLOW, {"user-agent": "curl/8.5.0"})
    assert answer.status == 202
    assert caller.end(answer.json()["id"])["status"] == "completed"
