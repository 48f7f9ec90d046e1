"""Clients behind nginx with its default settings: HTTP/1.0 to the gateway, answers buffered."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
from openai import OpenAI

from tests.clients.nginx import proxying
from tests.gateway.inputs import FORM, file_part, form, image_bytes, pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.suites import Gateway
    from tests.gateway.providers.providers import Providers

_SMALL: Final = {"model": "local/sketch", "prompt": "a red kite over hills", "size": "64x64"}


@pytest.fixture(scope="module")
def proxy(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with proxying(gateway.url, tmp_path_factory.mktemp("nginx")) as origin:
        yield origin


@pytest.fixture
def connection(proxy: str) -> Iterator[http.client.HTTPConnection]:
    """Yield one connection to nginx, kept alive between requests."""
    with closing(http.client.HTTPConnection(urlsplit(proxy).netloc, timeout=60)) as opened:
        yield opened


@pytest.fixture
def client(proxy: str, gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{proxy}/v1", api_key=gateway.key, max_retries=0) as opened:
        yield opened


def ask(
    connection: http.client.HTTPConnection,
    key: str,
    method: str,
    path: str,
    body: bytes | None = None,
    **headers: str,
) -> tuple[http.client.HTTPResponse, bytes]:
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    connection.request(method, path, body, {"authorization": f"Bearer {key}", **names})
    response = connection.getresponse()
    return response, response.read()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/v1/models"])
def test_page_behind_nginx_answers(connection: http.client.HTTPConnection, gateway: Gateway, path: str) -> None:
    response, body = ask(connection, gateway.key, "GET", path)
    assert response.status == 200, body


def test_json_behind_nginx_returns_an_image(connection: http.client.HTTPConnection, gateway: Gateway) -> None:
    response, body = ask(
        connection,
        gateway.key,
        "POST",
        "/v1/images/generations",
        json.dumps({**_SMALL, "response_format": "b64_json"}).encode(),
        content_type="application/json",
        x_request_id="behind-nginx",
    )
    assert response.status == 200, body
    assert response.headers["x-request-id"] == "behind-nginx"
    assert pixels(base64.b64decode(json.loads(body)["data"][0]["b64_json"])).size == (64, 64)


def test_gzip_body_behind_nginx_returns_an_image(connection: http.client.HTTPConnection, gateway: Gateway) -> None:
    packed = gzip.compress(json.dumps(_SMALL).encode())
    response, body = ask(
        connection,
        gateway.key,
        "POST",
        "/v1/images/generations",
        packed,
        content_type="application/json",
        content_encoding="gzip",
    )
    assert response.status == 200, body


def test_form_behind_nginx_returns_an_image(connection: http.client.HTTPConnection, gateway: Gateway) -> None:
    body = form(
        file_part("image", image_bytes(96)), model="local/sketch", prompt="at night", response_format="b64_json"
    )
    response, answer = ask(
        connection, gateway.key, "POST", "/v1/images/edits", body, content_type=FORM["content-type"]
    )
    assert response.status == 200, answer
    assert pixels(base64.b64decode(json.loads(answer)["data"][0]["b64_json"])).size == (96, 64)


def test_error_behind_nginx_keeps_its_shape(connection: http.client.HTTPConnection, gateway: Gateway) -> None:
    body = json.dumps({**_SMALL, "n": 11}).encode()
    response, answer = ask(
        connection, gateway.key, "POST", "/v1/images/generations", body, content_type="application/json"
    )
    assert (response.status, json.loads(answer)["error"]["param"]) == (400, "n")


def test_not_modified_behind_nginx_leaves_the_connection_usable(
    connection: http.client.HTTPConnection, gateway: Gateway
) -> None:
    body = json.dumps({**_SMALL, "response_format": "url"}).encode()
    made, answer = ask(
        connection, gateway.key, "POST", "/v1/images/generations", body, content_type="application/json"
    )
    assert made.status == 200, answer
    job = f"/v1/jobs/{made.headers['x-job-id']}"
    first, _ = ask(connection, gateway.key, "GET", job)
    second, nothing = ask(connection, gateway.key, "GET", job, if_none_match=first.headers["etag"])
    assert (second.status, nothing) == (304, b"")
    third, again = ask(connection, gateway.key, "GET", job)
    assert (third.status, json.loads(again)["status"]) == (200, "completed")


def test_media_behind_nginx_answers_head_and_range(
    connection: http.client.HTTPConnection, gateway: Gateway, client: OpenAI
) -> None:
    made = client.images.generate(model="local/sketch", prompt="a fox", size="64x64")
    assert made.data
    assert made.data[0].url
    link = made.data[0].url.removeprefix(gateway.url)
    whole, data = ask(connection, gateway.key, "GET", link)
    head, nothing = ask(connection, gateway.key, "HEAD", link)
    assert (head.status, head.headers["content-length"], nothing) == (200, str(len(data)), b"")
    part, piece = ask(connection, gateway.key, "GET", link, range="bytes=0-7")
    assert (whole.status, part.status, piece) == (200, 206, data[:8])


def test_partial_image_behind_nginx_comes_before_the_image_is_made(client: OpenAI, providers: Providers) -> None:
    emulator: Any = providers["openai"]
    hold = emulator.hold = threading.Event()
    try:
        with client.images.generate(
            model="openai/gpt-image-2", prompt="a fox", stream=True, partial_images=1
        ) as stream:
            events = iter(stream)
            assert next(events).type == "image_generation.partial_image"
            hold.set()
            assert [event.type for event in events] == ["image_generation.completed"]
    finally:
        hold.set()
        emulator.hold = None


def test_slow_model_behind_nginx_returns_its_image(client: OpenAI) -> None:
    made = client.images.generate(model="bfl/flux-2-pro", prompt="a fox")
    assert made.data
    assert made.data[0].url


def test_job_events_behind_nginx_end_with_the_job(connection: http.client.HTTPConnection, gateway: Gateway) -> None:
    body = json.dumps({**_SMALL, "provider_options": {"delay": 0.5}}).encode()
    made, answer = ask(
        connection,
        gateway.key,
        "POST",
        "/v1/images/generations",
        body,
        content_type="application/json",
        prefer="respond-async",
    )
    assert made.status == 202, answer
    events, text = ask(connection, gateway.key, "GET", f"/v1/jobs/{made.headers['x-job-id']}/events")
    assert events.headers.get_content_type() == "text/event-stream"
    assert b"event: job.completed\n" in text
