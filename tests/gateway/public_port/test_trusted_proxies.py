"""Address of a client: the peer's, or the one that a trusted proxy states. Headers of anyone else change nothing."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.gateway import inputs
from tests.gateway.rest import EDITS
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.public_port.conftest import SecureStack

PROXY: Final = "127.0.20.7"
OTHER: Final = "127.0.20.8"
SINGLE: Final = "127.0.21.1"
STRANGER: Final = "127.0.22.1"


def logged(secure: SecureStack, request_id: str) -> dict[str, Any]:
    """Return the line of a finished request."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        lines = secure.stack.of_request(request_id)
        found[:] = [line for line in lines if line["event"] in {"request_finished", "request_refused"}]
        return bool(found)

    eventually(is_there, 10, "the request is logged")
    return found[-1]


def client_of(secure: SecureStack, peer: str, path: str = "/v1/models/sketch", **headers: str) -> str:
    """Return the client that the log names for a request from a local address."""
    request_id = f"client-{secrets.token_hex(8)}"
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    answer = secure.ask("GET", path, headers={"x-request-id": request_id, **given}, peer=peer)
    assert answer.status < 500
    return str(logged(secure, request_id)["client"])


@pytest.mark.parametrize(
    ("peer", "stated", "client"),
    [
        (PROXY, "203.0.113.9", "203.0.113.9"),
        (SINGLE, "203.0.113.9", "203.0.113.9"),
        (PROXY, "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (PROXY, f"198.51.100.1,203.0.113.9, {OTHER}", "203.0.113.9"),
        (PROXY, "2001:db8::9", "2001:db8::9"),
        (PROXY, "203.0.113.9:4711", PROXY),
        (PROXY, "nonsense", PROXY),
        (PROXY, "203.0.113.9, nonsense", PROXY),
        (STRANGER, "203.0.113.9", STRANGER),
        (STRANGER, PROXY, STRANGER),
    ],
)
def test_client_is_the_last_stated_address_that_is_no_trusted_proxy(
    secure: SecureStack, peer: str, stated: str, client: str
) -> None:
    assert client_of(secure, peer, x_forwarded_for=stated) == client


def test_trusted_proxy_without_a_statement_is_the_client(secure: SecureStack) -> None:
    assert client_of(secure, PROXY) == PROXY


@pytest.mark.parametrize(
    "name", ["x-client-address", "x-envoy-external-address", "x-real-ip", "forwarded", "x-envoy-original-dst-host"]
)
def test_other_headers_name_no_client(secure: SecureStack, name: str) -> None:
    value = "for=203.0.113.9" if name == "forwarded" else "203.0.113.9"
    for peer in (PROXY, STRANGER):
        assert client_of(secure, peer, **{name: value}) == peer


def test_page_form_and_refused_path_log_the_same_client(secure: SecureStack) -> None:
    for path in ("/openapi.json", "/nothing"):
        assert client_of(secure, PROXY, path, x_forwarded_for="203.0.113.9") == "203.0.113.9"
    body = inputs.form(inputs.file_part("image", inputs.image_bytes(96)), model="local/sketch", prompt="at night")
    headers = {**inputs.FORM, "x-request-id": "form-of-a-client", "x-forwarded-for": "203.0.113.9"}
    assert secure.ask("POST", EDITS, body, headers, peer=PROXY).status == 200
    assert logged(secure, "form-of-a-client")["client"] == "203.0.113.9"


def test_audit_event_has_the_client_behind_a_trusted_proxy(secure: SecureStack) -> None:
    for peer, client in ((PROXY, "203.0.113.9"), (STRANGER, STRANGER)):
        name = f"made-{secrets.token_hex(4)}"
        secure.ask(
            "POST",
            "/v1/admin/keys",
            {"tenant": "proxied", "name": name},
            {"x-forwarded-for": "203.0.113.9"},
            port=secure.admin_port,
            peer=peer,
        )
        (event,) = secure.ask("GET", "/v1/admin/audit?page_size=1", port=secure.admin_port).json()["data"]
        assert event["address"] == client


def test_command_of_this_machine_is_local(secure: SecureStack) -> None:
    assert secure.stack.command("models", "--json").returncode == 0
    eventually(lambda: "local" in [event.get("client") for event in secure.stack.events()], 10, "the call is logged")


@pytest.mark.parametrize("peer", [PROXY, STRANGER])
def test_host_and_protocol_headers_change_no_link(secure: SecureStack, peer: str) -> None:
    headers = {
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "http",
        "x-forwarded-port": "1",
        "forwarded": "host=evil.example;proto=http",
    }
    made = secure.ask("GET", "/openapi.json", headers=headers, peer=peer)
    assert made.json()["servers"][0]["url"] == secure.origin


@pytest.mark.parametrize("peer", [PROXY, STRANGER])
def test_headers_that_steer_envoy_have_no_effect(secure: SecureStack, peer: str) -> None:
    headers = {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-max-retries": "9", "x-envoy-retry-on": "5xx"}
    fields = {"model": "local/sketch", "prompt": "x", "size": "64x64", "provider_options": {"delay": 0.3}}
    assert secure.ask("POST", "/v1/images/generations", fields, headers, peer=peer).status == 200
