"""Failures of the gateway's parts during a call: the caller's error, and whether a repeat is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.media.decoding import DecodeBudget
from imagegateway.media.directory import Directory
from imagegateway.media.store import MediaStore, StoreUnavailable
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import UrlGuard
from imagegateway.platform.errors import INTERNAL, GatewayError
from imagegateway.router import call_context
from imagegateway.router.call_outcome import error_headers, error_of
from imagegateway.router.input_images import InputImages, InputRole
from imagegateway.v1.error_reason_pb2 import ErrorReason
from structlog.testing import capture_logs

from tests.gateway import inputs

if TYPE_CHECKING:
    from pathlib import Path

CALL = call_context.begin("Generate", {}, rest=True)


def test_full_store_is_503_and_may_be_repeated() -> None:
    failure = error_of(CALL, StoreUnavailable("the media store has no room"))
    assert (failure.code, failure.meaning.http) == ("service_unavailable", 503)
    assert failure.message == "The media store has no room; try again later."
    headers = error_headers(CALL, failure)
    assert headers["retry-after"] == "5"
    assert "x-should-retry" not in headers


def test_unforeseen_fault_is_internal_and_logged() -> None:
    error = KeyError("x")
    with capture_logs() as logs:
        assert error_of(CALL, error) is INTERNAL
    assert [(line["event"], line["exc_info"]) for line in logs] == [("request_failed", error)]


def test_failure_of_a_billed_job_forbids_a_repeat() -> None:
    failure = GatewayError(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "The images can't be read.", paid=True)
    headers = error_headers(CALL, failure)
    assert (headers["x-should-retry"], headers["retry-after"]) == ("false", "1")


async def test_failed_write_is_reported_though_cleanup_fails_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_self: Directory, _keys: list[str]) -> None:
        raise OSError(5, "Input/output error")

    store = MediaStore.open(tmp_path.as_uri())
    monkeypatch.setattr(Directory, "delete", fail)
    async with Outbound(UrlGuard(())) as outbound:

        async def take_in() -> None:
            async with InputImages(store, outbound, DecodeBudget(10**8), "t") as uploads:
                upload = uploads.open_file(InputRole.IMAGE)
                await upload.write(inputs.image_bytes())
                await upload.finish()
                raise StoreUnavailable("the media store has no room")

        with pytest.raises(StoreUnavailable, match="has no room"):
            await take_in()
