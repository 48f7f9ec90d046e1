"""HTTP/3 on the public port's number."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final

from tests.gateway import inputs
from tests.gateway.public_port.conftest import HOST, SecureStack
from tests.gateway.rest import EDITS, GENERATIONS, SMALL
from tests.support import http3

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.http3 import Http3Response

SECONDS: Final = 60.0


async def ask(
    secure: SecureStack, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Http3Response:
    """Send one request on a new connection, with the stack's key."""
    given = {"authorization": f"Bearer {secure.stack.key}", "content-type": "application/json", **(headers or {})}
    async with asyncio.timeout(SECONDS), http3.connected(HOST, secure.port, secure.authority.pem) as client:
        return await client.ask(method, secure.origin, path, body, given)


async def test_generation_over_http3_returns_an_image_and_its_request_id(secure: SecureStack) -> None:
    response = await ask(secure, "POST", GENERATIONS, json.dumps(dict(SMALL)).encode(), {"x-request-id": "over-quic"})
    assert (response.status, response.headers["x-request-id"]) == (200, "over-quic")
    assert json.loads(response.body)["data"][0]["url"].startswith(f"{secure.origin}/media/")


async def test_form_and_event_stream_work_over_http3(secure: SecureStack) -> None:
    form = inputs.form(inputs.file_part("image", inputs.image_bytes(96)), model="local/sketch", prompt="at night")
    assert (await ask(secure, "POST", EDITS, form, {"content-type": inputs.FORM["content-type"]})).status == 200
    stream = await ask(secure, "POST", GENERATIONS, json.dumps({**SMALL, "stream": True}).encode())
    assert stream.headers["content-type"] == "text/event-stream"
    assert b"event: image_generation.completed\n" in stream.body


async def test_errors_over_http3_have_the_shape_of_the_api(secure: SecureStack) -> None:
    missing = await ask(secure, "GET", "/nothing")
    assert (missing.status, json.loads(missing.body)["error"]["code"]) == (404, "unknown_url")
    refused = await ask(secure, "GET", "/v1/models", headers={"authorization": "Bearer wrong"})
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (401, "invalid_api_key")


async def test_requests_share_a_connection(secure: SecureStack) -> None:
    headers = {"authorization": f"Bearer {secure.stack.key}"}
    async with asyncio.timeout(SECONDS), http3.connected(HOST, secure.port, secure.authority.pem) as client:
        found = await asyncio.gather(
            *(client.ask("GET", secure.origin, "/v1/models", headers=headers) for _ in range(20))
        )
    assert [response.status for response in found] == [200] * 20


def test_responses_over_tcp_advertise_http3_at_the_public_port(secure: SecureStack) -> None:
    for path in ("/healthz", "/v1/models", "/nothing"):
        assert secure.ask("GET", path).headers["alt-svc"] == f'h3=":{secure.port}"; ma=86400'
    assert secure.ask("GET", "/v1/usage", port=secure.admin_port).headers["alt-svc"] is None
