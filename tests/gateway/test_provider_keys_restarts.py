"""Stored provider keys across kills and restarts of routers and NATS, and under another root secret."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.gateway import rest
from tests.gateway.jobs.stacks import kill, restartable_stack, wait_back
from tests.gateway.provider_keys import PATH, WITHIN, all_report, delete, listed, new_key, put
from tests.gateway.rest import assert_error
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.jobs.stacks import RestartableStack


def last_four(caller: Caller, route: str) -> str:
    try:
        answer = caller.ask("GET", PATH)
    except OSError:
        return ""
    if answer.status != 200:
        return ""
    return "".join(item["last_four"] for item in answer.json()["data"] if item["route"] == route)


@pytest.fixture(scope="module")
def restartable() -> Iterator[RestartableStack]:
    with restartable_stack(routers="2") as started:
        yield started


def test_keys_are_followed_by_every_router_and_survive_kills_and_a_restart(restartable: RestartableStack) -> None:
    caller, key = restartable.caller, new_key()
    put(caller, "ideogram", key)
    model = "ideogram/ideogram-v3"
    eventually(lambda: all_report(caller, model, ready=True), WITHIN, "both routers know the key")
    for name in ("nats", "router-0", "router-1"):
        wait_back(restartable.stack, name, kill(restartable.stack, name))
        eventually(lambda: last_four(caller, "ideogram") == key[-4:], 20, f"the key is there after a kill of {name}")
    restartable.stop()
    restartable.start()
    caller = restartable.caller
    assert last_four(caller, "ideogram") == key[-4:]
    assert all_report(caller, model, ready=True)
    delete(caller, "ideogram")
    eventually(lambda: all_report(caller, model, ready=False), WITHIN, "both routers drop the key")


def test_kill_in_the_middle_of_replacing_leaves_the_old_or_the_new_key(restartable: RestartableStack) -> None:
    caller = restartable.caller
    put(caller, "bfl", "old key of the tenant: aaaa")
    for name in ("router-0", "nats"):
        killed = kill(restartable.stack, name)
        try:
            answer = caller.ask("PUT", f"{PATH}/bfl", {"key": "new key of the tenant: bbbb"})
            stored = answer.status == 200
        except OSError:
            stored = False
        wait_back(restartable.stack, name, killed)
        eventually(lambda: bool(last_four(caller, "bfl")), 20, "a key is there")
        assert last_four(caller, "bfl") in ({"bbbb"} if stored else {"aaaa", "bbbb"})
        put(caller, "bfl", "old key of the tenant: aaaa")


def test_key_under_another_root_secret_is_not_used_and_reported(restartable: RestartableStack) -> None:
    caller = restartable.caller
    put(caller, "google", new_key())
    restartable.stop()
    (restartable.stack.data_dir / "secret-key").write_text(secrets.token_urlsafe(32))
    restartable.start()
    caller = restartable.caller
    stored = listed(caller)["google"]
    assert stored == {"object": "provider_key", "route": "google"}
    for _ in range(2):
        answer = caller.ask("POST", rest.GENERATIONS, {"model": "google/imagen-4", "prompt": "a kite"})
        message = assert_error(answer, 502, "provider_credentials", kind="provider_error")
        assert "PUT /v1/provider-keys/google" in message
    assert not caller.jobs(model="google/imagen-4")
    done = restartable.stack.command("provider-keys", "list", "--tenant", "default")
    assert (done.returncode, "unreadable" in done.stdout) == (0, True)
    put(caller, "google", new_key())
    assert "last_four" in listed(caller)["google"]
