"""DNS lookups: limited in time, and no tenant delays another."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from imagegateway.outbound import client, resolver
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.resolver import FAILED_SECONDS, Resolver
from imagegateway.outbound.url_guard import UrlGuard, UrlRefusedError

from tests.outbound.name_server import name_server
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.outbound.name_server import NameServer

PUBLIC = "93.184.215.14"


@asynccontextmanager
async def resolving(server: NameServer, clock: Clock | None = None) -> AsyncIterator[Resolver]:
    found = Resolver([server.address], clock or time.monotonic)
    try:
        yield found
    finally:
        await found.aclose()


async def error_of(resolver: Resolver, host: str) -> int | None:
    with pytest.raises(socket.gaierror) as raised:
        await resolver.resolve(host, 443)
    return raised.value.errno


async def test_answers_are_reused() -> None:
    async with name_server() as server, resolving(server) as names:
        server.known["a.example"] = [PUBLIC, "1.1.1.1"]
        assert sorted(await names.resolve("a.example", 443)) == ["1.1.1.1", PUBLIC]
        await names.resolve("a.example", 443)
        assert server.asked == ["a.example"]


async def test_name_without_an_address_is_not_looked_up_again_at_once() -> None:
    clock = Clock()
    async with name_server() as server, resolving(server, clock) as names:
        assert await error_of(names, "gone.example") == socket.EAI_NONAME
        server.known["gone.example"] = [PUBLIC]
        assert await error_of(names, "gone.example") == socket.EAI_NONAME
        assert server.asked == ["gone.example"]
        clock.now += FAILED_SECONDS
        assert await names.resolve("gone.example", 443) == [PUBLIC]


async def test_silent_server_ends_a_lookup_in_time_and_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "LOOKUP_SECONDS", 2.0)
    async with name_server() as server, resolving(server) as names:
        server.known["a.example"] = [PUBLIC]
        silent = [asyncio.create_task(error_of(names, f"{number}.silent")) for number in range(100)]
        async with asyncio.timeout(2.0):
            assert await names.resolve("a.example", 443) == [PUBLIC]
        assert set(await asyncio.gather(*silent)) == {socket.EAI_AGAIN}
        asked = len(server.asked)
        assert await error_of(names, "7.silent") == socket.EAI_AGAIN
        assert len(server.asked) == asked


async def test_number_of_failed_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MAX_FAILED", 3)
    async with name_server() as server, resolving(server) as names:
        for number in range(10):
            await error_of(names, f"{number}.example")
        assert len(names._failed) == 3


async def test_name_in_the_hosts_file_is_resolved_without_a_query() -> None:
    async with name_server() as server, resolving(server) as names:
        assert "127.0.0.1" in await names.resolve("localhost", 443)
        assert server.asked == []


async def test_short_name_is_resolved_in_the_search_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "corp.example")
    async with name_server() as server, resolving(server) as names:
        server.known["inside.corp.example"] = ["10.0.0.5"]
        assert await names.resolve("inside", 443) == ["10.0.0.5"]


async def test_tenant_whose_lookups_hang_delays_no_other_tenants_check(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (resolver, client):
        monkeypatch.setattr(module, "LOOKUP_SECONDS", 2.0)
    async with (
        name_server() as server,
        resolving(server) as names,
        Outbound(UrlGuard([], names.resolve)) as outbound,
    ):
        server.known["b.example"] = [PUBLIC]

        async def hang(number: int) -> bool:
            with pytest.raises(UrlRefusedError) as refused:
                await outbound.check(f"https://{number}.silent/", "a")
            return refused.value.transient

        began = time.monotonic()
        with monkeypatch.context() as frozen:  # one deadline for all checks, however long their starts take
            frozen.setattr(asyncio.get_running_loop(), "time", lambda: began)
            hanging = [asyncio.create_task(hang(number)) for number in range(300)]
            await asyncio.sleep(0)
        async with asyncio.timeout(2.0):
            await outbound.check("https://b.example/hook", "b")
        assert all(await asyncio.gather(*hanging))
        assert time.monotonic() - began < 6, "the wait for a slot counts, too"
        asked = {name for name in server.asked if name.endswith(".silent")}
        assert len(asked) <= 2 * client.TENANT_CHECKS, "a second set begins where the first just ended"
