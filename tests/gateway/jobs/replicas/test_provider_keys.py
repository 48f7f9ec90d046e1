"""Stored provider keys across kills of routers and NATS."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gateway.jobs.calls import Caller
from tests.gateway.jobs.stacks import kill, wait_back
from tests.gateway.provider_keys import PATH, WITHIN, all_report, delete, new_key, put
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.support.stack import Stack


def last_four(caller: Caller, route: str) -> str:
    try:
        answer = caller.ask("GET", PATH)
    except OSError:
        return ""
    if answer.status != 200:
        return ""
    return "".join(item["last_four"] for item in answer.json()["data"] if item["route"] == route)


@pytest.fixture
def caller(pair: Stack) -> Caller:
    return Caller(pair, pair.key)


def test_keys_are_followed_by_every_router_and_survive_kills(caller: Caller) -> None:
    key = new_key()
    put(caller, "ideogram", key)
    model = "ideogram/ideogram-v3"
    eventually(lambda: all_report(caller, model, ready=True), WITHIN, "both routers know the key")
    for name in ("nats", "router-0", "router-1"):
        wait_back(caller.stack, name, kill(caller.stack, name))
        eventually(lambda: last_four(caller, "ideogram") == key[-4:], 20, f"the key is there after a kill of {name}")
    eventually(lambda: all_report(caller, model, ready=True), WITHIN, "both routers know the key again")
    delete(caller, "ideogram")
    eventually(lambda: all_report(caller, model, ready=False), WITHIN, "both routers drop the key")


def test_kill_in_the_middle_of_replacing_leaves_the_old_or_the_new_key(caller: Caller) -> None:
    put(caller, "bfl", "old key of the tenant: aaaa")
    for name in ("router-0", "nats"):
        killed = kill(caller.stack, name)
        try:
            answer = caller.ask("PUT", f"{PATH}/bfl", {"key": "new key of the tenant: bbbb"})
            stored = answer.status == 200
        except OSError:
            stored = False
        wait_back(caller.stack, name, killed)
        expected = {"bbbb"} if stored else {"aaaa", "bbbb"}
        eventually(lambda: last_four(caller, "bfl") in expected, 20, f"one of {expected} is there")  # noqa: B023
        put(caller, "bfl", "old key of the tenant: aaaa")
    delete(caller, "bfl")
