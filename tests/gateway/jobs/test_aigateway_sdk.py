"""The hosted service's SDK, `aigateway-py`, against this gateway: unchanged except for the address."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from aigateway import (  # type: ignore[import-untyped]  # ships no types
    AIgateway,
    AIgatewayError,
    AsyncAIgateway,
    verify_webhook,
)

from tests.gateway import inputs, rest
from tests.gateway.jobs.calls import NO_JOB
from tests.gateway.rest import assert_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.jobs.receiver import Receiver

VIDEO = {"model": "local/sketch", "prompt": "a red kite over hills", "size": "64x64"}
"""Arguments that request a video from an image model."""


@pytest.fixture
def client(caller: Caller) -> Iterator[AIgateway]:
    with AIgateway(caller.key, base_url=caller.stack.url, media_base_url=caller.stack.url) as opened:
        yield opened


def last_part(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def test_job_is_read_waited_for_and_downloaded(caller: Caller, client: AIgateway) -> None:
    job_id = caller.submit(1)
    job = client.jobs.get(job_id)
    assert (job.id, job.modality, job.model) == (job_id, "image", "local/sketch")
    assert job.status in {"queued", "running"}
    assert isinstance(job.created_at, int)
    assert job.result_url is None
    done = client.jobs.wait(job_id, timeout_seconds=60, poll_interval_seconds=0.2)
    assert (done.status, done.error) == ("completed", None)
    assert done.updated_at is not None
    assert done.updated_at >= job.created_at
    assert done.result_url is not None
    assert done.result is not None
    name = last_part(done.result_url)
    assert name == last_part(done.result["file_url"])
    data = client.files.download(job_id, name)
    assert data == caller.fetch(done.result_url)
    assert inputs.pixels(data).size == (64, 64)


def test_every_image_of_a_job_has_its_name(caller: Caller, client: AIgateway) -> None:
    job_id = caller.submit(n=2, output_format="webp")
    done = client.jobs.wait(job_id, timeout_seconds=60, poll_interval_seconds=0.2)
    assert done.result is not None
    names = [last_part(item["url"]) for item in done.result["data"]]
    assert len({client.files.download(job_id, name) for name in names}) == 2
    assert names == ["0.webp", "1.webp"]
    with pytest.raises(AIgatewayError) as caught:
        client.files.download(job_id, "2.webp")
    assert caught.value.status_code == 404


def test_signed_link_needs_no_key_and_ends_when_asked(caller: Caller, client: AIgateway) -> None:
    job_id = caller.generate().json()["id"]
    signed = client.files.signed_url(job_id, "0.png", expires_in=600)
    assert set(signed) == {"url", "expires_at"}
    # Links are rounded, so that equal ones can be cached; never shorter than asked.
    assert 590 < signed["expires_at"] - time.time() < 600 + 3700
    assert caller.fetch(signed["url"]) == client.files.download(job_id, "0.png")
    for seconds in (59, 604_801):
        with pytest.raises(AIgatewayError) as caught:
            client.files.signed_url(job_id, "0.png", expires_in=seconds)
        assert (caught.value.status_code, caught.value.type) == (400, "invalid_request_error")


def test_cancel_ends_the_job(caller: Caller, client: AIgateway) -> None:
    job_id = caller.submit(60)
    assert client.jobs.cancel(job_id).status == "cancelled"
    assert client.jobs.get(job_id).status == "cancelled"


def test_failed_job_ends_the_wait(caller: Caller, client: AIgateway) -> None:
    job_id = caller.submit(provider_options={"delay": 0.3, "fail": "moderation_blocked"})
    assert client.jobs.wait(job_id, timeout_seconds=60, poll_interval_seconds=0.2).status == "failed"


def test_video_of_a_model_that_makes_none_is_refused_naming_the_model(caller: Caller, client: AIgateway) -> None:
    """This SDK can't read responses with images."""
    with pytest.raises(AIgatewayError) as caught:
        client.jobs.create_video(**VIDEO)
    assert (caught.value.status_code, caught.value.type) == (400, "invalid_request_error")
    assert_error(caller.ask("POST", "/v1/videos/generations", VIDEO), 400, "unsupported_parameter", "model")


def test_unknown_job_and_bad_key_are_the_sdks_errors(caller: Caller, client: AIgateway) -> None:
    with pytest.raises(AIgatewayError) as caught:
        client.jobs.get(NO_JOB)
    assert (caught.value.status_code, caught.value.type) == (404, "invalid_request_error")
    with AIgateway("wrong", base_url=caller.stack.url) as stranger, pytest.raises(AIgatewayError) as caught:
        stranger.jobs.get(NO_JOB)
    assert (caught.value.status_code, caught.value.type) == (401, "authentication_error")


def test_sdk_method_beside_image_generation_is_an_unknown_url(client: AIgateway) -> None:
    calls = (client.jobs.create_music, client.jobs.create_3d, client.evals.list, client.replays.list)
    for call in (*calls, client.sub_accounts.list):
        with pytest.raises(AIgatewayError) as caught:
            call()
        assert caught.value.status_code == 404


def test_files_of_another_tenant_are_not_found(caller: Caller, stranger: Caller) -> None:
    job_id = caller.generate().json()["id"]
    url = caller.stack.url
    with AIgateway(stranger.key, base_url=url, media_base_url=url) as client:
        for call in (client.files.download, client.files.signed_url):
            with pytest.raises(AIgatewayError) as caught:
                call(job_id, "0.png")
            assert caught.value.status_code == 404


def test_model_list_is_filtered_by_modality_and_provider(client: AIgateway) -> None:
    every = client.models.list()
    assert "local/sketch" in [model["id"] for model in every]
    assert "local/sketch" in [model["id"] for model in client.models.list(modality="image", provider="local")]
    assert "local/sketch" not in [model["id"] for model in client.models.list(modality="video")]
    assert client.models.list(provider="unknown") == []
    model = client.models.get("local/sketch")
    assert (model["id"], model["object"]) == ("local/sketch", "model")
    with pytest.raises(AIgatewayError) as caught:
        client.models.get("local/nothing")
    assert caught.value.status_code == 404


def test_webhook_secret_verifies_deliveries_over_a_rotation(fresh: Caller, receiver: Receiver, mark: str) -> None:
    with AIgateway(fresh.key, base_url=fresh.stack.url) as client:
        before = client.webhook_secret.get()["secret"]
        after = client.webhook_secret.rotate()["secret"]
        assert before != after
        assert client.webhook_secret.get()["secret"] == after
        fresh.submit(webhook_url=receiver.hook(f"/{mark}"))
        (delivery,) = receiver.wait(f"/{mark}")
        header = delivery.headers["x-gateway-signature"]
        assert verify_webhook(after, delivery.body, header)
        assert verify_webhook(after, delivery.body.decode(), header)
        assert not verify_webhook(after, delivery.body, header, tolerance_seconds=-1)


async def test_async_client_does_the_same(caller: Caller) -> None:
    job_id = caller.submit(0.5)
    url = caller.stack.url
    async with AsyncAIgateway(caller.key, base_url=url, media_base_url=url) as client:
        done = await client.jobs.wait(job_id, timeout_seconds=60, poll_interval_seconds=0.2)
        assert done.status == "completed"
        data = await client.files.download(job_id, "0.png")
        signed = await client.files.signed_url(job_id, "0.png")
        assert data == caller.fetch(signed["url"])
        assert (await client.webhook_secret.get())["secret"].startswith("whsec_")
        assert "local/sketch" in [model["id"] for model in await client.models.list(modality="image")]
        assert (await client.models.get("local/sketch"))["id"] == "local/sketch"
        running = caller.submit(60)
        assert (await client.jobs.cancel(running)).status == "cancelled"


def test_file_by_key_has_its_type_and_needs_the_key(caller: Caller) -> None:
    job_id = caller.generate().json()["id"]
    path = f"/v1/files/jobs/{job_id}/0.png"
    answer = caller.ask("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert rest.ask(caller.stack, "GET", path, key="").status == 401
    assert rest.ask(caller.stack, "GET", path, key="wrong").status == 401
    for name in ("0.jpg", "00.png", "-1.png", "x", "0.png%2f"):
        assert caller.ask("GET", f"/v1/files/jobs/{job_id}/{name}").status == 404


def test_file_of_a_job_that_has_none_is_not_found(caller: Caller) -> None:
    job_id = caller.submit(60)
    assert caller.ask("GET", f"/v1/files/jobs/{job_id}/0.png").status == 404
    caller.cancel(job_id)
    assert caller.ask("GET", f"/v1/files/jobs/{job_id}/0.png").status == 404
