"""Secrets that change between two starts on the same data: values that stay valid and values that end."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from imagegateway.keys.api_keys import fingerprint

from tests.gateway import rest
from tests.gateway.jobs.calls import Caller
from tests.gateway.jobs.stacks import new_caller
from tests.gateway.provider_keys import listed, put
from tests.gateway.rest import assert_error

if TYPE_CHECKING:
    from tests.gateway.jobs.stacks import RestartableStack

PROVIDER_KEY = "sk-a-provider-key-of-acme-1234"
GOOGLE_MODEL = "google/imagen-4"


def renew_root_secret(stack: RestartableStack) -> str:
    """Remove the root secret, so that the next start makes another. Return the removed one."""
    path = stack.stack.data_dir / "secret-key"
    secret = path.read_text()
    path.unlink()
    return secret


def webhook_secret(caller: Caller) -> str:
    answer = caller.ask("GET", "/v1/webhook-secret")
    assert answer.status == 200, answer.body
    secret: str = answer.json()["secret"]
    return secret


def last_four(caller: Caller) -> str | None:
    """Return the last characters of the stored provider key, or None if it can't be decrypted."""
    (key,) = caller.ask("GET", "/v1/provider-keys").json()["data"]
    shown: str | None = key.get("last_four")
    return shown


def link_status(caller: Caller, url: str) -> int:
    return rest.ask(caller.stack, "GET", rest.link(caller.stack, url), key="").status


def test_root_secret_is_rotated_without_a_loss(restartable: RestartableStack) -> None:
    stack = restartable
    caller = stack.caller
    url = caller.generate().json()["data"][0]["url"]
    shown = webhook_secret(caller)
    assert caller.ask("PUT", "/v1/provider-keys/google", {"key": PROVIDER_KEY}).status == 200
    made = new_caller(stack.stack, "before").key

    stack.stop()
    stack.start(secret_key_previous=renew_root_secret(stack))
    caller = stack.caller
    assert (webhook_secret(caller), last_four(caller), link_status(caller, url)) == (shown, "1234", 200)
    assert Caller(stack.stack, made).ask("GET", "/v1/models").status == 200
    fresh = caller.generate().json()["data"][0]["url"]
    done = stack.stack.command("secrets", "rotate")
    assert done.returncode == 0, done.stderr
    assert "provider keys: 1 encrypted again, 0 up to date, 0 unreadable" in done.stdout
    assert "webhook secrets: 1 encrypted again" in done.stdout
    assert f"{fingerprint(made)[:12]} of before" in done.stdout.partition("need replacements: ")[2]
    replacement = new_caller(stack.stack, "before").key

    adopted = caller.key
    stack.stop()
    stack.start(secret_key_previous="", api_key=f"key-{secrets.token_hex(16)}")
    caller = stack.caller
    assert Caller(stack.stack, adopted).ask("GET", "/v1/models").status == 401
    assert (webhook_secret(caller), last_four(caller)) == (shown, "1234")
    assert (link_status(caller, url), link_status(caller, fresh)) == (403, 200)
    statuses = [Caller(stack.stack, key).ask("GET", "/v1/models").status for key in (made, replacement)]
    assert statuses == [401, 200]


def assert_unreadable_key_is_reported_and_not_used(caller: Caller) -> None:
    """Assert that calls and commands report the stored Google key as unreadable."""
    assert listed(caller)["google"] == {"object": "provider_key", "route": "google"}
    for _ in range(2):
        refused = caller.ask("POST", rest.GENERATIONS, {"model": GOOGLE_MODEL, "prompt": "a kite"})
        message = assert_error(refused, 502, "provider_credentials", kind="provider_error")
        assert "PUT /v1/provider-keys/google" in message
    assert not caller.jobs(model=GOOGLE_MODEL)
    shown = caller.stack.command("provider-keys", "list", "--tenant", "default")
    assert (shown.returncode, "unreadable" in shown.stdout) == (0, True)


def test_root_secret_and_api_key_that_are_replaced_leave_a_gateway_that_serves(restartable: RestartableStack) -> None:
    stack = restartable
    caller = stack.caller
    shown = webhook_secret(caller)
    assert caller.ask("PUT", "/v1/provider-keys/google", {"key": PROVIDER_KEY}).status == 200

    stack.stop()
    renew_root_secret(stack)
    stack.start(api_key=f"key-{secrets.token_hex(16)}")
    assert_error(
        Caller(stack.stack, caller.key).ask("GET", "/v1/models"),
        401,
        "invalid_api_key",
        kind="authentication_error",
    )
    caller = stack.caller
    lost = caller.ask("GET", "/v1/webhook-secret")
    assert "/v1/webhook-secret/rotate" in assert_error(lost, 410, "webhook_secret_unreadable")
    rotated = caller.ask("POST", "/v1/webhook-secret/rotate")
    assert rotated.status == 200
    assert webhook_secret(caller) == rotated.json()["secret"] != shown
    assert last_four(caller) is None
    assert_unreadable_key_is_reported_and_not_used(caller)
    assert stack.stack.command("secrets", "rotate").returncode == 1
    put(caller, "google", PROVIDER_KEY)
    assert last_four(caller) == "1234"
    assert caller.generate().status == 200
