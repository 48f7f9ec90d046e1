"""`imagegateway provider-keys`: the command stores, lists and deletes keys of a tenant."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.gateway.jobs.stacks import new_caller
from tests.gateway.provider_keys import WITHIN, all_report, listed, new_key
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.support.stack import Stack


def command(stack: Stack, *arguments: str, key: str = "") -> tuple[int, str, str]:
    """Run `imagegateway provider-keys` with a key on its standard input."""
    done = stack.command("provider-keys", *arguments, standard_input=key)
    return done.returncode, done.stdout, done.stderr


def test_command_stores_lists_and_deletes(stack: Stack) -> None:
    tenant, key = f"tenant-{secrets.token_hex(6)}", new_key()
    caller = new_caller(stack, tenant)
    of = ("--tenant", tenant)
    status, out, err = command(stack, "set", *of, "--route", "openai", key=f"{key}\n")
    assert (status, err) == (0, "")
    assert key not in out
    assert listed(caller)["openai"]["last_four"] == key[-4:]
    eventually(lambda: all_report(caller, "openai/gpt-image-2", ready=True), WITHIN, "the router knows the key")
    status, out, err = command(stack, "list", *of)
    assert (status, err) == (0, "")
    assert "openai" in out
    assert key[-4:] in out
    assert key not in out
    assert command(stack, "delete", *of, "--route", "openai")[0] == 0
    assert listed(caller) == {}
    eventually(lambda: all_report(caller, "openai/gpt-image-2", ready=False), WITHIN, "the router drops the key")
    assert command(stack, "list", *of) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "key", "message"),
    [
        (("set", "--tenant", "painters", "--route", "unknown"), "k", "stability"),
        (("set", "--tenant", "painters", "--route", "openai"), "", "key is required"),
        (("set", "--tenant", "painters", "--route", "openai"), "a\nb", "printable"),
        (("set", "--route", "openai"), "k", "--tenant"),
        (("set", "--tenant", "painters", "--route", "openai", "a-key"), "", "unexpected argument: a-key"),
        (("delete", "--tenant", "painters", "--route", "openai"), "", "no stored key of openai"),
        (("list",), "", "--tenant"),
    ],
)
def test_invalid_provider_keys_command_fails_with_the_cause(
    stack: Stack, arguments: tuple[str, ...], key: str, message: str
) -> None:
    status, out, err = command(stack, *arguments, key=key)
    assert status != 0
    assert not out
    assert message in err
    assert "Traceback" not in err
