"""API keys on a running stack: created, listed and revoked; shown once, stored as hashes."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.gateway import rest
from tests.gateway.rest import ask
from tests.support import command
from tests.support.files import holding
from tests.support.stack import eventually, short_folder

if TYPE_CHECKING:
    from tests.support.stack import Stack

KEY = re.compile(r"igw_[A-Za-z0-9_-]{43}_[0-9a-f]{20}")
WITHIN = 20.0
"""Seconds until every router applies a new or revoked key, on a busy machine."""


def is_accepted(stack: Stack, key: str) -> bool:
    status = ask(stack, "GET", "/v1/models", key=key).status
    assert status in {200, 401}
    return status == 200


def create(stack: Stack, *arguments: str) -> tuple[str, str]:
    """Create a key with the command. Return the key and its id."""
    done = stack.command("keys", "create", *arguments)
    assert done.returncode == 0, done.stderr
    secret = done.stdout.strip()
    assert KEY.fullmatch(secret)
    assert secret not in done.stderr
    found = re.search(r"key ([0-9a-f]{12})", done.stderr)
    assert found
    return secret, found[1]


def test_key_made_is_accepted_and_revoked_is_refused_within_seconds(stack: Stack) -> None:
    secret, key_id = create(stack, "--tenant", "painters", "--name", "for the test")
    eventually(lambda: is_accepted(stack, secret), WITHIN, "the new key is accepted")
    listed = stack.command("keys", "list").stdout
    (line,) = (line for line in listed.splitlines() if key_id in line)
    assert "painters" in line
    assert "for the test" in line
    assert secret not in listed
    revoked = stack.command("keys", "revoke", key_id)
    assert revoked.returncode == 0
    eventually(lambda: not is_accepted(stack, secret), WITHIN, "the revoked key is refused")
    assert key_id not in stack.command("keys", "list").stdout
    assert is_accepted(stack, stack.key)


def test_key_is_nowhere_in_the_data_directory_nor_in_the_log(stack: Stack) -> None:
    secret, _ = create(stack, "--tenant", "painters")
    eventually(lambda: is_accepted(stack, secret), WITHIN, "the new key is accepted")
    for text in (secret, stack.key):
        assert not holding(stack.data_dir, text)
        assert not [line for line in stack.log_lines() if text in line]


def test_key_of_another_tenant_is_logged_by_tenant_and_id(stack: Stack) -> None:
    secret, key_id = create(stack, "--tenant", "painters")
    eventually(lambda: is_accepted(stack, secret), WITHIN, "the new key is accepted")
    request_id = f"tenant-{secrets.token_hex(8)}"
    ask(stack, "GET", "/v1/models", headers={"x-request-id": request_id}, key=secret)
    eventually(lambda: bool(stack.of_request(request_id)), 10, "the request is logged")
    (event,) = stack.of_request(request_id)
    assert (event["tenant"], event["key_id"]) == ("painters", key_id)


def test_key_with_a_default_preference_is_strict_without_the_header(stack: Stack) -> None:
    secret, _ = create(stack, "--tenant", "painters", "--prefer", "handling=strict")
    eventually(lambda: is_accepted(stack, secret), WITHIN, "the new key is accepted")
    body = {"prompt": "a boat", "size": "80x8"}
    refused = ask(stack, "POST", rest.GENERATIONS, body, key=secret)
    rest.assert_error(refused, 400, "unsupported_parameter", "size")
    assert ask(stack, "POST", rest.GENERATIONS, body, {"prefer": "handling=lenient"}, key=secret).status == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("revoke", "000000000000"), "000000000000"),
        (("create", "--tenant", "painters", "--prefer", "wait=soon"), "Prefer: wait must be a whole number"),
        (("create",), "--tenant"),
        (("create", "--tenant", ""), "The tenant must not be empty"),
        (("create", "--tenant", "two\nlines"), "The tenant must be one line"),
    ],
)
def test_invalid_keys_command_fails_with_the_cause(stack: Stack, arguments: tuple[str, ...], message: str) -> None:
    done = stack.command("keys", *arguments)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_command_without_a_running_stack_says_so() -> None:
    with short_folder() as folder:
        done = command.run("keys", "list", data_dir=str(folder))
    assert done.returncode == 1
    assert "imagegateway up" in done.stderr
    assert "Traceback" not in done.stderr


def test_key_of_the_setting_is_adopted_and_printed_nowhere(stack: Stack) -> None:
    assert stack.printed_key() == "$IMAGEGATEWAY_API_KEY"
    assert '-H "Authorization: Bearer $IMAGEGATEWAY_API_KEY"' in stack.welcome()
    assert stack.key not in stack.text()
    assert is_accepted(stack, stack.key)
