"""LiteLLM in front of the gateway, as a proxy or a library would call it: `openai/` and the gateway's model id."""

from __future__ import annotations

import asyncio
import base64
import importlib
import os
import uuid
from pathlib import Path
from typing import Any, Final

import openai
import pytest

litellm: Any = importlib.import_module("litellm")  # not installed where mypy runs

_FILES: Final = Path(os.environ["GATEWAY_FILES"])
_CALL: Final[dict[str, Any]] = {
    "api_base": os.environ["GATEWAY_URL"] + "/v1",
    "api_key": os.environ["GATEWAY_KEY"],
    "num_retries": 0,
    "max_retries": 0,
}
_PROMPT: Final = "a red kite over hills"
_MODELS: Final = (
    "bfl/flux-2-pro",
    "bytedance/seedream-4.5",
    "google/gemini-2.5-flash-image",
    "google/imagen-4",
    "gpt-image-2",
    "ideogram/ideogram-v3",
    "local/sketch",
    "openai/gpt-image-2",
    "recraft/recraft-v3",
    "stability-ai/stable-image-core",
)
_EDITORS: Final = (
    "bfl/flux-2-pro",
    "bytedance/seedream-4.5",
    "google/gemini-2.5-flash-image",
    "gpt-image-2",
    "local/sketch",
)


def call(model: str, **fields: Any) -> dict[str, Any]:
    return {**_CALL, "model": f"openai/{model}", "prompt": _PROMPT, **fields}


def jobs() -> list[dict[str, Any]]:
    """Return the newest jobs of the key."""
    with openai.OpenAI(base_url=_CALL["api_base"], api_key=_CALL["api_key"]) as client:
        listed: list[dict[str, Any]] = client.get("/jobs", cast_to=dict[str, Any])["data"]
        return listed


def assert_one_image(answer: Any) -> None:
    """Check that the answer has one image, and the whole of OpenAI's usage or none that counts anything."""
    (item,) = answer.data
    assert item.url or base64.b64decode(item.b64_json, validate=True)
    usage = answer.usage.model_dump()
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert sum(usage["input_tokens_details"].values()) == usage["input_tokens"]


@pytest.mark.parametrize("model", _MODELS)
def test_image_generation_of_a_model_returns_one_image(model: str) -> None:
    assert_one_image(litellm.image_generation(**call(model)))


@pytest.mark.parametrize("model", _MODELS)
async def test_async_image_generation_of_a_model_returns_one_image(model: str) -> None:
    assert_one_image(await litellm.aimage_generation(**call(model)))


@pytest.mark.parametrize("model", _EDITORS)
def test_image_edit_of_a_model_returns_one_image(model: str) -> None:
    with (_FILES / "input.png").open("rb") as image:
        assert_one_image(litellm.image_edit(**call(model, image=[image])))


@pytest.mark.parametrize("model", _EDITORS)
async def test_async_image_edit_of_a_model_returns_one_image(model: str) -> None:
    with (_FILES / "input.png").open("rb") as image:
        assert_one_image(await litellm.aimage_edit(**call(model, image=[image])))


def test_image_edit_with_two_images_and_a_mask_returns_one_image() -> None:
    with (
        (_FILES / "input.png").open("rb") as first,
        (_FILES / "input.png").open("rb") as second,
        (_FILES / "mask.png").open("rb") as mask,
    ):
        assert_one_image(litellm.image_edit(**call("gpt-image-2", image=[first, second], mask=mask)))


def test_several_images_come_in_one_answer() -> None:
    answer = litellm.image_generation(**call("bfl/flux-2-pro", n=3))
    assert len({item.url or item.b64_json for item in answer.data}) == 3


def test_openais_own_name_returns_b64_json_and_the_gateways_id_a_link() -> None:
    assert litellm.image_generation(**call("gpt-image-2")).data[0].b64_json
    assert litellm.image_generation(**call("openai/gpt-image-2")).data[0].url


def test_fields_of_the_gateway_pass_through_extra_body() -> None:
    answer = litellm.image_generation(**call("local/sketch", size="64x64", extra_body={"seed": 7}))
    assert_one_image(answer)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("invalid_value", "BadRequestError"),
        ("provider_rate_limited", "RateLimitError"),
        ("overloaded", "ServiceUnavailableError"),
        ("provider_timeout", "Timeout"),
    ],
)
def test_error_of_a_reason_raises_litellms_class(reason: str, expected: str) -> None:
    with pytest.raises(getattr(litellm, expected)):
        litellm.image_generation(**call("local/sketch", extra_body={"provider_options": {"fail": reason}}))


@pytest.mark.parametrize(("reason", "calls"), [("provider_error", 1), ("provider_timeout", 1), ("overloaded", 2)])
def test_error_is_repeated_only_where_nothing_is_paid_twice(reason: str, calls: int) -> None:
    mark = uuid.uuid4().hex
    fields = {"provider_options": {"fail": reason}, "metadata": {"mark": mark}}
    with pytest.raises(openai.APIError):
        litellm.image_generation(**call("local/sketch", max_retries=1, extra_body=fields))
    assert len([job for job in jobs() if job.get("metadata", {}).get("mark") == mark]) == calls


def test_moderation_raises_content_policy_violation_error() -> None:
    with pytest.raises(litellm.ContentPolicyViolationError):
        litellm.image_generation(**call("gpt-image-2"))


def test_error_of_a_bad_key_raises_authentication_error() -> None:
    with pytest.raises(litellm.AuthenticationError):
        litellm.image_generation(**call("local/sketch", api_key="wrong"))


def test_error_of_an_unknown_model_raises_not_found_error() -> None:
    with pytest.raises(litellm.NotFoundError):
        litellm.image_generation(**call("local/skech"))


async def test_ten_calls_at_once_return_ten_images() -> None:
    answers = await asyncio.gather(*(litellm.aimage_generation(**call("bfl/flux-2-pro")) for _ in range(10)))
    for answer in answers:
        assert_one_image(answer)
