"""Commands `keys`, `tenants` and `audit`: on the gateway's machine, and from afar with an admin key."""

from __future__ import annotations

import csv
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.keys.policy import Scope

from tests.gateway.jobs.stacks import new_caller
from tests.support import command
from tests.support.stack import eventually, free_port

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.support.stack import Stack

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tenant() -> str:
    return f"tenant-{secrets.token_hex(6)}"


@pytest.fixture(params=["local", "afar"])
def run(request: pytest.FixtureRequest, stack: Stack) -> Run:
    """Run a command on the gateway's machine, or with the address and a key only."""
    if request.param == "local":
        return stack.command
    admin = new_caller(stack, "operators", scopes=frozenset({Scope.ADMIN}))
    return lambda *arguments: command.run(*arguments, url=stack.url, key=admin.key)


def done(run: Run, *arguments: str) -> str:
    """Run a command that succeeds. Return its output."""
    ended = run(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def document(run: Run, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done(run, *arguments, "--json"))
    return found


def test_key_is_created_changed_rotated_listed_and_revoked(run: Run, tenant: str) -> None:
    policy = ("--scopes", "generate,edit", "--models", "local/*,openai/*", "--rpm", "60", "--concurrent", "2")
    money = ("--budget", "50", "--budget-period", "day", "--expires", "30d", "--response-format", "b64_json")
    created = document(run, "keys", "create", "--tenant", tenant, "--name", "a b", *policy, *money)
    assert (
        created.items()
        >= {
            "tenant": tenant,
            "name": "a b",
            "scopes": ["generate", "edit"],
            "models": ["local/*", "openai/*"],
            "requests_per_minute": 60,
            "concurrent_jobs": 2,
            "budget": 50,
            "budget_period": "day",
            "response_format": "b64_json",
        }.items()
    )
    assert 29 * 86_400 < created["expires_at"] - time.time() < 31 * 86_400
    key_id = created["id"]
    changed = document(run, "keys", "update", key_id, "--rpm", "none", "--expires", "none", "--ipm", "5")
    assert not {"requests_per_minute", "expires_at", "key"} & changed.keys()
    assert document(run, "keys", "show", key_id) == changed
    rotated = done(run, "keys", "rotate", key_id, "--overlap", "1h").strip()
    assert rotated.startswith("igw_")
    (listed,) = document(run, "keys", "list", "--tenant", tenant)["data"]
    assert listed == changed
    header, row = done(run, "keys", "list", "--tenant", tenant).splitlines()
    assert header.split()[:3] == ["ID", "CREATED", "TENANT"]
    assert row.startswith(key_id)
    assert "5 ipm, 2 at once, 0 of 50 USD/day" in row
    assert row.endswith("a b")
    assert f"revoked key {key_id}" in done(run, "keys", "revoke", key_id)
    assert document(run, "keys", "list", "--tenant", tenant)["data"] == []
    assert document(run, "keys", "list", "--tenant", tenant, "--revoked")["data"][0]["revoked_at"]


def test_tenant_is_set_and_shown(run: Run, tenant: str) -> None:
    done(run, "tenants", "set", tenant, "--budget", "5", "--media-days", "3")
    assert document(run, "tenants", "set", tenant, "--budget", "none", "--ipm", "30") == {
        "object": "tenant",
        "name": tenant,
        "images_per_minute": 30,
        "media_days": 3,
    }
    assert "media_days           3" in done(run, "tenants", "show", tenant)
    (row,) = (line for line in done(run, "tenants", "list").splitlines() if line.startswith(tenant))
    assert "30 ipm" in row
    assert "media 3 d" in row


def test_usage_is_reported_as_table_json_and_csv(run: Run, stack: Stack, tenant: str) -> None:
    caller = new_caller(stack, tenant)
    for _ in range(2):
        assert caller.generate().status == 200
    arguments = ("usage", "--tenant", tenant, "--group-by", "model,key")
    eventually(lambda: "2" in done(run, "usage", "--tenant", tenant).split(), 10, "usage counts both jobs")
    report = document(run, *arguments)
    (row,) = report["data"]
    assert (row["model"], row["requests"], row["images"]) == ("local/sketch", 2, 2)
    header, line, total = done(run, *arguments).splitlines()
    assert header.split() == ["MODEL", "KEY", "REQUESTS", "IMAGES", "FAILED", "COST", "(USD)"]
    assert line.split() == ["local/sketch", row["key_id"], "2", "2", "0", "0"]
    assert total.split() == ["total", "-", "2", "2", "0", "0"]
    rows = list(csv.DictReader(done(run, *arguments, "--csv").splitlines()))
    assert [(each["model"], each["requests"]) for each in rows] == [("local/sketch", "2")]


def test_audit_names_the_user_of_the_machine_or_the_key(run: Run, stack: Stack, tenant: str) -> None:
    secret = done(run, "keys", "create", "--tenant", tenant).strip()
    (event,) = document(run, "audit", "list", "--tenant", tenant, "--method", "CreateKey")["data"]
    assert event["outcome"] == "succeeded"
    if run == stack.command:
        assert event["actor"]["type"] == "operator"
        assert event["actor"]["name"]
        assert event["address"] == "local"
    else:
        assert event["actor"].items() >= {"type": "key", "tenant": "operators"}.items()
    table = done(run, "audit", "list", "--tenant", tenant, "--limit", "1")
    assert len(table.splitlines()) == 2
    assert secret not in table


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("keys", "show", "0" * 12), 1, "There is no key"),
        (("keys", "update", "0" * 12), 2, "name at least one option to change"),
        (("keys", "update", "0" * 12, "--rpm", "many"), 2, "no whole number"),
        (("keys", "create", "--tenant", "t", "--scopes", "paint"), 2, "there is no scope"),
        (("keys", "create", "--tenant", "t", "--expires", "2020-01-01"), 1, "expires must be in the future"),
        (("keys", "create", "--tenant", "t", "--models", "a b"), 1, "models:"),
        (("tenants", "set", "t", "--media-days", "0"), 2, "no whole number"),
        (("tenants", "show", "no-such-tenant"), 1, "There is no tenant"),
        (("audit", "list", "--limit", "0"), 2, "Must be >= 1"),
        (("usage", "--start", "today"), 2, "no day"),
        (("usage", "--group-by", "colour"), 1, "group_by"),
    ],
)
def test_command_that_fails_says_why_by_text_and_status(
    stack: Stack, arguments: tuple[str, ...], status: int, words: str
) -> None:
    ended = stack.command(*arguments)
    assert ended.returncode == status, ended.stderr
    assert words in ended.stderr
    assert not ended.stdout
    if status == 1:
        assert len(ended.stderr.splitlines()) == 1


def test_command_from_afar_names_the_cause(stack: Stack, tenant: str) -> None:
    plain = new_caller(stack, tenant)
    for values, words in (
        ({"url": stack.url}, "set IMAGEGATEWAY_KEY"),
        ({"url": stack.url, "key": plain.key}, "lacks the scope admin"),
        ({"url": stack.url, "key": "unknown-key"}, "unknown or revoked"),
        ({"url": f"http://127.0.0.1:{free_port()}", "key": plain.key}, "can't be reached"),
        ({"url": "ftp://127.0.0.1", "key": plain.key}, "is no address of a gateway"),
        ({"url": f"{stack.url}/images", "key": plain.key}, "needs an origin"),
    ):
        ended = command.run("keys", "list", **values)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert words in ended.stderr
        assert plain.key not in ended.stderr


def test_command_with_another_root_secret_says_so(stack: Stack) -> None:
    ended = command.run("keys", "list", **{**stack.values, "secret_key": secrets.token_hex(16)})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "another root secret" in ended.stderr
    assert "IMAGEGATEWAY_SECRET_KEY" in ended.stderr
