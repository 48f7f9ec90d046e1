"""Images by URL, end to end: only public hosts over https, and hosts that the operator allows."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.gateway import cases
from tests.gateway.inputs import MAX_FILE, image_bytes, mask, padded

if TYPE_CHECKING:
    from tests.gateway.origin import Origin
    from tests.support.stack import Stack

REFUSED = [
    "https://127.0.0.1/a.png",
    "https://127.1/a.png",
    "https://localhost/a.png",
    "https://localhost./a.png",
    "https://2130706433/a.png",
    "https://0x7f000001/a.png",
    "https://0x7f.1/a.png",
    "https://017700000001/a.png",
    "https://0177.0.0.1/a.png",
    "https://0/a.png",
    "https://[::1]/a.png",
    "https://[::ffff:127.0.0.1]/a.png",
    "https://[::ffff:7f00:1]/a.png",
    "https://[64:ff9b::7f00:1]/a.png",
    "https://[fe80::1]/a.png",
    "https://[fd00::1]/a.png",
    "https://10.0.0.1/a.png",
    "https://172.16.0.1/a.png",
    "https://192.168.1.1/a.png",
    "https://100.64.0.1/a.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/latest/meta-data/",
    "https://[fd00:ec2::254]/latest/meta-data/",
    "https://168.63.129.16/a.png",
    "https://224.0.0.1/a.png",
    "https://255.255.255.255/a.png",
    "http://93.184.215.14/a.png",
    "https://user:secret@93.184.215.14/a.png",
    "https://93.184.215.14:22/a.png",
    "https://93.184.215.14\\@127.0.0.1/a.png",
    "https:///a.png",
    "//127.0.0.1/a.png",
    "ftp://93.184.215.14/a.png",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "javascript:alert(1)",
    "a.png",
    "https://a b/a.png",
    "https://exa\nmple.com/a.png",
    "https://no-such-host.invalid/a.png",
]


def refused(stack: Stack, url: str, param: str = "image_url", code: str = "invalid_image_url") -> None:
    request: dict[str, object] = {
        "model": "local/sketch",
        "prompt": "at night",
        "image_url": "$png:64x64",
        param: url,
    }
    status = 413 if code == "file_too_large" else 400
    outcome = cases.run(stack, cases.Case(url, "edit", request, {"status": status, "code": code, "param": param}))
    assert outcome.failure
    assert "secret" not in outcome.failure.message


@pytest.mark.parametrize("url", REFUSED)
def test_url_to_the_inside_is_refused(stack: Stack, url: str) -> None:
    refused(stack, url)


@pytest.mark.parametrize("param", ["image_url", "mask_url"])
def test_url_to_the_gateway_itself_is_refused(stack: Stack, param: str) -> None:
    refused(stack, f"{stack.url}/healthz", param)


def test_invalid_url_in_an_images_object_is_refused_naming_its_index(stack: Stack) -> None:
    request = {
        "model": "local/sketch",
        "prompt": "at night",
        "images": ["$png:64x64", {"image_url": "https://127.0.0.1/a.png"}],
    }
    expect = {"status": 400, "code": "invalid_image_url", "param": "images[1]"}
    cases.run(stack, cases.Case("images", "edit", request, expect))


def test_url_refused_opens_no_connection(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        refused(stack, f"https://127.0.0.1:{port}/a.png")
        refused(stack, f"http://127.0.0.1:{port}/a.png")
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_url_to_an_allowed_host_is_fetched(stack: Stack, origin: Origin) -> None:
    request = {
        "model": "local/sketch",
        "prompt": "at night",
        "image_url": origin.put("/a.png", image_bytes(96)),
        "mask_url": origin.put("/mask.png", mask(96)),
    }
    cases.run(stack, cases.Case("allowed", "edit", request, {"size": "96x64"}))


def test_url_that_redirects_within_an_allowed_host_is_fetched(stack: Stack, origin: Origin) -> None:
    origin.put("/there.png", image_bytes(80))
    request = {
        "model": "local/sketch",
        "prompt": "at night",
        "image_url": origin.put("/here", status=302, location="/there.png"),
    }
    cases.run(stack, cases.Case("redirect", "edit", request, {"size": "80x64"}))


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/",
        "http://127.0.0.1:1/",
        "https://[::ffff:10.0.0.1]/",
        "file:///etc/passwd",
        "http://",
    ],
)
def test_url_that_redirects_to_the_inside_is_refused(stack: Stack, origin: Origin, target: str) -> None:
    refused(stack, origin.put("/away", status=302, location=target))


def test_url_that_redirects_for_ever_is_refused(stack: Stack, origin: Origin) -> None:
    refused(stack, origin.put("/loop", status=302, location="/loop"))


def test_url_that_answers_with_an_error_is_refused(stack: Stack, origin: Origin) -> None:
    refused(stack, f"http://{origin.host}/nothing-here?token=secret")


def test_url_that_answers_with_text_is_no_image(stack: Stack, origin: Origin) -> None:
    refused(stack, origin.put("/text", b"secret text", content_type="image/png"), code="invalid_image")


def test_url_of_a_file_over_the_limit_is_413(stack: Stack, origin: Origin) -> None:
    refused(stack, origin.put("/large", padded(MAX_FILE + 1)), code="file_too_large")


def test_webhook_url_inside_is_refused(stack: Stack) -> None:
    expect = {"status": 400, "code": "invalid_value", "param": "webhook_url"}
    request = {"prompt": "a boat", "webhook_url": "https://127.0.0.1/hook"}
    cases.run(stack, cases.Case("webhook", "generate", request, expect))
