"""Audit log: events come before changes, survive kills and restarts, and a call without one changes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.admin.v1 import admin_service_pb2 as pb
from imagegateway.admin.v1.audit_event_pb2 import AuditActor
from imagegateway.keys.audit_log import BUCKET, FAILED, STARTED, SUCCEEDED, AuditLog
from imagegateway.keys.gateway_keys import GatewayKeys
from imagegateway.keys.key_store import KeyStore
from imagegateway.keys.root_secret import RootSecret
from imagegateway.platform.errors import UnavailableError

from tests.jobs.server import settings_for
from tests.router.admin.conftest import Admin, Refusal

if TYPE_CHECKING:
    from imagegateway.admin.v1.audit_event_pb2 import AuditEvent
    from nats.aio.client import Client

    from tests.jobs.server import Nats

ACTOR = AuditActor(type="gateway", id="of the test")
FIRST, SECOND = "first-" + "x" * 20, "second-" + "x" * 20


@pytest.fixture
async def log(client: Client, nats: Nats) -> AuditLog:
    return await AuditLog.open(client, nats.settings)


def everything(_event: AuditEvent) -> bool:
    return True


async def written(log: AuditLog, *methods: str) -> None:
    for method in methods:
        event = log.event(ACTOR, method)
        event.outcome = SUCCEEDED
        await log.write(event)


async def test_pages_hold_each_event_once_newest_first(log: AuditLog) -> None:
    names = [f"Method{number}" for number in range(120)]
    await written(log, *names)
    found: list[str] = []
    position = 0
    while True:
        page = await log.page(everything, 50, position)
        found += [event.method for event in page.events]
        position = page.position
        if not position:
            break
    assert found == names[::-1]


async def test_filter_reads_on_until_a_page_is_full(log: AuditLog) -> None:
    await written(log, "Wanted", *(["Other"] * 150), "Wanted")
    page = await log.page(lambda event: event.method == "Wanted", 5)
    assert [event.method for event in page.events] == ["Wanted", "Wanted"]
    assert page.position == 0


async def test_change_is_one_event_with_its_outcome(log: AuditLog) -> None:
    async with log.change(log.event(ACTOR, "Good")):
        (during,) = (await log.page(everything, 5)).events
    with pytest.raises(RuntimeError):
        async with log.change(log.event(ACTOR, "Bad")):
            raise RuntimeError
    assert (during.method, during.outcome) == ("Good", STARTED)
    assert [(event.method, event.outcome) for event in (await log.page(everything, 5)).events] == [
        ("Bad", FAILED),
        ("Good", SUCCEEDED),
    ]


async def test_change_of_a_killed_process_stays_as_started(log: AuditLog) -> None:
    entered = asyncio.Event()

    async def change() -> None:
        async with log.change(log.event(ACTOR, "Killed")):
            entered.set()
            await asyncio.Event().wait()

    process = asyncio.create_task(change())
    await entered.wait()
    (event,) = (await log.page(everything, 5)).events
    assert event.outcome == STARTED
    process.cancel()
    await asyncio.gather(process, return_exceptions=True)


async def test_change_without_an_event_is_not_made(
    client: Client, nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, outage = False, asyncio.Event()
    outage.set()
    log = await AuditLog.open(client, nats.settings, outage)

    async def refuse(*_arguments: object, **_named: object) -> int:
        raise TimeoutError

    monkeypatch.setattr(log._entries._kv, "update", refuse)
    with pytest.raises(UnavailableError):
        async with log.change(log.event(ACTOR, "Unwritten")):
            made = True
    assert not made


async def test_unreadable_event_is_skipped(log: AuditLog) -> None:
    await written(log, "Older")
    await log._entries._kv.put("audit_damaged", b"\xff\xff\xff")
    await written(log, "Newer")
    assert [event.method for event in (await log.page(everything, 5)).events] == ["Newer", "Older"]


async def test_retention_follows_the_setting(client: Client, nats: Nats) -> None:
    for days in ("400", "30"):
        await AuditLog.open(client, settings_for(nats.settings.data_dir, AUDIT_DAYS=days))
        config = (await client.jetstream().stream_info(f"KV_{BUCKET}")).config
        assert config.max_age == int(days) * 86_400


async def test_keys_of_a_start_are_audited_once(log: AuditLog, client: Client) -> None:
    store = await KeyStore.open(client, 1, RootSecret("root secret of the tests"))
    keys = GatewayKeys(client, store, log, "gateway-1")
    await keys.adopt(FIRST)
    await keys.adopt(FIRST)
    await keys.adopt(SECOND)
    await keys.create_session_key()
    await keys.delete_session_keys()
    await keys.delete_session_keys()
    events = (await log.page(everything, 10)).events[::-1]
    assert [(event.method, event.outcome) for event in events] == [
        ("AdoptKey", SUCCEEDED),
        ("AdoptKey", SUCCEEDED),
        ("CreateSessionKey", SUCCEEDED),
        ("DeleteSessionKeys", SUCCEEDED),
    ]
    assert events[1].fields == {"released": events[0].target}
    assert events[2].target == events[3].target
    assert {event.actor.id for event in events} == {"gateway-1"}


async def test_operator_of_the_machine_is_named(admin: Admin) -> None:
    key = await admin.create_key(budget=5, scopes=["read"])
    (event,) = await admin.events(method="CreateKey")
    assert (event.actor.type, event.actor.name, event.address) == ("operator", "ada", "local")
    assert (event.target, event.tenant, event.request_id) == (key.id, "acme", "req-of-the-test")
    assert event.fields == {"budget": "5", "scopes": "read"}


async def test_call_without_an_event_is_refused_before_the_change(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (await admin.call("ListKeys", pb.ListKeysRequest())).data

    async def unwritten(_log: AuditLog, _event: AuditEvent) -> None:
        raise UnavailableError("the audit log can't be written")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "write", unwritten)
        for method, request in (
            ("CreateKey", pb.CreateKeyRequest(tenant="acme")),
            ("ListKeys", pb.ListKeysRequest()),
        ):
            with pytest.raises(Refusal) as refused:
                await admin.call(method, request)
            assert refused.value.code == "service_unavailable"
    assert (await admin.call("ListKeys", pb.ListKeysRequest())).data == before


async def test_events_are_filtered_by_tenant_and_key(admin: Admin) -> None:
    ours, theirs = await admin.create_key(), await admin.create_key(tenant="other")
    await admin.call("RevokeKey", pb.RevokeKeyRequest(id=ours.id))
    assert [event.method for event in await admin.events(key_id=ours.id)] == ["RevokeKey", "CreateKey"]
    assert [event.target for event in await admin.events(tenant="other")] == [theirs.id]


async def test_failed_call_is_recorded_with_its_error(admin: Admin) -> None:
    for method, request in _unknown_key():
        with pytest.raises(Refusal):
            await admin.call(method, request)
    events = await admin.events(key_id="0" * 12)
    assert [event.method for event in events] == ["RevokeKey", "RotateKey", "UpdateKey", "GetKey"]
    assert {(event.outcome, event.error) for event in events} == {(FAILED, "not_found")}


def _unknown_key() -> list[tuple[str, Any]]:
    return [
        (f"{verb}Key", request(id="0" * 12))
        for verb, request in (
            ("Get", pb.GetKeyRequest),
            ("Update", pb.UpdateKeyRequest),
            ("Rotate", pb.RotateKeyRequest),
            ("Revoke", pb.RevokeKeyRequest),
        )
    ]
