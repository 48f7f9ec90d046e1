"""OpenAI's Python SDK, unchanged except for address and key, with models whose providers are asynchronous."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import uuid
from typing import TYPE_CHECKING, Any, Final

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.gateway.inputs import pixels
from tests.gateway.jobs.calls import marked, with_mark
from tests.gateway.providers.asking import INPUT, MASK
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from openai.types import ImagesResponse

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

_SLOW: Final = "bfl/flux-2-pro"
_PROMPT: Final = "a red kite over hills"
_INPUT: Final = ("input.png", INPUT, "image/png")
_OWN_NAMES: Final = ("gpt-image-2", "gpt-image-2.6-flare", "chatgpt-image-latest")


@pytest.fixture
def client(caller: Caller) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{caller.stack.url}/v1", api_key=caller.key, max_retries=0) as opened:
        yield opened


@pytest.fixture
async def async_client(caller: Caller) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{caller.stack.url}/v1", api_key=caller.key, max_retries=0) as opened:
        yield opened


@pytest.fixture
def mark() -> str:
    """Return a word that no other test uses."""
    return uuid.uuid4().hex


def links(answer: ImagesResponse) -> list[str]:
    """Return the links of an answer, which must have one for each image."""
    assert answer.data
    found = [item.url for item in answer.data if item.url]
    assert len(found) == len(answer.data)
    return found


def assert_b64_json(answer: ImagesResponse) -> None:
    """Check that every image comes as bytes, as at OpenAI."""
    assert answer.data
    for item in answer.data:
        assert item.url is None
        assert pixels(base64.b64decode(item.b64_json or "")).format == "PNG"


def test_generate_with_a_slow_model_returns_its_image(client: OpenAI, caller: Caller, providers: Providers) -> None:
    (link,) = links(client.images.generate(model=_SLOW, prompt=_PROMPT))
    assert pixels(caller.fetch(link))
    assert providers.billed() == {"bfl": 1}


async def test_async_generate_with_a_slow_model_returns_its_image(async_client: AsyncOpenAI) -> None:
    answers = await asyncio.gather(
        *(async_client.images.generate(model=_SLOW, prompt=f"{_PROMPT} {number}") for number in range(5))
    )
    assert [len(links(answer)) for answer in answers] == [1] * 5


def test_edit_with_a_slow_model_returns_its_image(client: OpenAI) -> None:
    assert len(links(client.images.edit(model=_SLOW, prompt=_PROMPT, image=[_INPUT, _INPUT]))) == 1


async def test_async_edit_with_a_slow_model_returns_its_image(async_client: AsyncOpenAI) -> None:
    assert len(links(await async_client.images.edit(model=_SLOW, prompt=_PROMPT, image=_INPUT))) == 1


def test_slow_model_returns_several_images(client: OpenAI) -> None:
    assert len(set(links(client.images.generate(model=_SLOW, prompt=_PROMPT, n=3)))) == 3


@pytest.mark.parametrize("method", ["generate", "edit"])
def test_stated_preference_returns_the_job(client: OpenAI, caller: Caller, method: str) -> None:
    fields: dict[str, Any] = {"image": _INPUT} if method == "edit" else {}
    call = getattr(client.images.with_raw_response, method)
    raw = call(model=_SLOW, prompt=_PROMPT, extra_headers={"Prefer": "respond-async"}, **fields)
    assert raw.status_code == 202
    assert raw.headers["location"] == f"/v1/jobs/{raw.headers['x-job-id']}"
    caller.end(raw.headers["x-job-id"])


@pytest.mark.parametrize("model", _OWN_NAMES)
def test_openais_own_name_returns_b64_json_by_default(client: OpenAI, model: str) -> None:
    assert_b64_json(client.images.generate(model=model, prompt=_PROMPT))
    assert_b64_json(client.images.edit(model=model, prompt=_PROMPT, image=_INPUT, mask=MASK))
    assert_b64_json(
        client.post(
            "/images/edits",
            cast_to=openai.types.ImagesResponse,
            body={"model": model, "prompt": _PROMPT, "image_url": f"data:;base64,{base64.b64encode(INPUT).decode()}"},
        )
    )


def test_openais_own_name_returns_links_on_request(client: OpenAI) -> None:
    assert links(client.images.generate(model="gpt-image-2", prompt=_PROMPT, response_format="url"))


def test_gateways_own_id_returns_links_by_default(client: OpenAI) -> None:
    assert links(client.images.generate(model="openai/gpt-image-2", prompt=_PROMPT))
    assert links(client.images.edit(model="openai/gpt-image-2", prompt=_PROMPT, image=_INPUT))


async def test_cancelled_async_call_leaves_its_job_to_the_end(
    async_client: AsyncOpenAI, caller: Caller, mark: str
) -> None:
    fields = {"metadata": marked(mark), "provider_options": {"delay": 5}}
    call = asyncio.create_task(
        async_client.images.generate(model="local/sketch", prompt=_PROMPT, size="256x256", extra_body=fields)
    )
    await asyncio.to_thread(eventually, lambda: bool(with_mark(caller.jobs(), mark)), 30, "the job is listed")
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call
    (job,) = with_mark(caller.jobs(), mark)
    assert caller.end(job["id"])["status"] == "completed"


def test_call_that_timed_out_is_found_by_its_idempotency_key(client: OpenAI, caller: Caller, mark: str) -> None:
    fields: dict[str, Any] = {
        "model": "local/sketch",
        "prompt": _PROMPT,
        "extra_headers": {"Idempotency-Key": mark},
        "extra_body": {"metadata": marked(mark), "provider_options": {"delay": 1}},
    }
    with pytest.raises(openai.APITimeoutError):
        client.images.generate(**fields, timeout=0.5)
    assert len(links(client.images.generate(**fields))) == 1
    assert len(with_mark(caller.jobs(), mark)) == 1
