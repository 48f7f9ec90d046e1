"""Webhooks: signatures verified by third-party libraries, retries, redelivery, secrets."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs import states, webhook_message, webhooks
from imagegateway.keys import webhook_secrets as secrets_module
from imagegateway.keys.root_secret import RootSecret
from imagegateway.keys.webhook_secrets import OVERLAP_SECONDS, WebhookSecrets
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.nats import connect
from standardwebhooks import Webhook, WebhookVerificationError

from tests.jobs import records
from tests.jobs.receiver import Receiver
from tests.jobs.replica import ROOT, Replica, serving
from tests.jobs.scripted_providers import ScriptedProviders
from tests.jobs.server import settings_for, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.jobs.stream import Entry
    from imagegateway.platform.nats_client import Client
    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from tests.jobs.server import Nats


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as server:
        yield server


def _settings(nats: Nats, receiver: Receiver, pauses: str = "0,0,0,0,0,0,0") -> Settings:
    return settings_for(
        nats.settings.data_dir,
        NATS_URL=nats.settings.nats_address(),
        ALLOW_HOSTS=receiver.host,
        WEBHOOK_PAUSES=pauses,
    )


@pytest.fixture
async def replica(nats: Nats, receiver: Receiver) -> AsyncIterator[Replica]:
    async with serving(_settings(nats, receiver), ScriptedProviders()) as up:
        yield up


async def finished(replica: Replica, url: str) -> Entry:
    """Complete a job and wait for the end of its webhook. Return the job."""
    submitted = await replica.submit(records.job(webhook_url=url))
    return await over(replica, submitted.record.id)


async def over(replica: Replica, job_id: str) -> Entry:
    """Return the job once no attempt is due."""
    return await replica.reached(job_id, lambda entry: entry.ended and not entry.record.webhook.next_at)


# ---- signatures


async def test_delivery_is_verified_by_the_standard_webhooks_library(replica: Replica, receiver: Receiver) -> None:
    entry = await finished(replica, receiver.url)
    [delivery] = receiver.deliveries
    secret = (await replica.engine.webhook_secrets.get("acme")).secret
    event = Webhook(secret).verify(delivery.body, delivery.headers)
    assert event["id"] == f"evt_{entry.record.id.removeprefix('job_')}" == delivery.headers["webhook-id"]
    assert (event["object"], event["type"]) == ("event", "job.completed")
    assert event["created_at"] == entry.record.completed_at // 1000
    assert event["data"]["id"] == entry.record.id
    assert event["data"]["status"] == "completed"
    assert delivery.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(delivery.body + b" ", delivery.headers)


async def test_delivery_is_verified_by_openais_sdk(replica: Replica, receiver: Receiver) -> None:
    import openai  # noqa: PLC0415  each worker of `make test-fast` would import its 1,000 types

    await finished(replica, receiver.url)
    [delivery] = receiver.deliveries
    secret = (await replica.engine.webhook_secrets.get("acme")).secret
    with openai.OpenAI(api_key="unused") as client:
        event = client.webhooks.unwrap(delivery.body, delivery.headers, secret=secret)
        assert event.id == delivery.headers["webhook-id"]
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(delivery.body.replace(b"event", b"evens"), delivery.headers, secret=secret)
        other = (await replica.engine.webhook_secrets.get("another tenant")).secret
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(delivery.body, delivery.headers, secret=other)


async def test_header_of_the_hosted_service_is_verified(replica: Replica, receiver: Receiver) -> None:
    await finished(replica, receiver.url)
    [delivery] = receiver.deliveries
    secret = (await replica.engine.webhook_secrets.get("acme")).secret
    at, _, signature = delivery.headers["x-gateway-signature"].partition(",")
    seconds = at.removeprefix("t=")
    signed = f"{seconds}.".encode() + delivery.body
    assert signature == f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
    assert seconds == delivery.headers["webhook-timestamp"]


async def test_both_secrets_sign_after_a_rotation(replica: Replica, receiver: Receiver) -> None:
    import openai  # noqa: PLC0415  each worker of `make test-fast` would import its 1,000 types

    old = await replica.engine.webhook_secrets.get("acme")
    new = await replica.engine.webhook_secrets.rotate("acme")
    assert new.secret != old.secret
    await finished(replica, receiver.url)
    [delivery] = receiver.deliveries
    with openai.OpenAI(api_key="unused") as client:
        for secret in (old.secret, new.secret):
            Webhook(secret).verify(delivery.body, delivery.headers)
            client.webhooks.unwrap(delivery.body, delivery.headers, secret=secret)
    signed = delivery.headers["webhook-timestamp"].encode() + b"." + delivery.body
    digest = hmac.new(new.secret.encode(), signed, hashlib.sha256).hexdigest()
    assert delivery.headers["x-gateway-signature"].endswith(f"v1={digest}")


@pytest.mark.parametrize(
    ("answer", "type_"), [(records.refused(), "job.failed"), (records.running(after=3600), "job.cancelled")]
)
async def test_failed_and_cancelled_jobs_are_delivered(
    replica: Replica, receiver: Receiver, answer: provider.TaskState, type_: str
) -> None:
    async def start(_request: object) -> provider.TaskState:
        return answer

    replica.providers.on_start = start
    entry = await replica.submit(records.job(webhook_url=receiver.url))
    if type_ == "job.cancelled":
        await replica.engine.execution.cancellation.cancel(entry)
    await over(replica, entry.record.id)
    assert [json.loads(delivery.body)["type"] for delivery in receiver.deliveries] == [type_]


# ---- retries


def _attempted(times: int, entry: Entry) -> bool:
    return len(entry.record.webhook.attempts) == times


async def test_attempts_follow_the_schedule(nats: Nats, receiver: Receiver) -> None:
    """Eight attempts with the pauses of the settings, plus up to 10 % jitter."""
    pauses = [5.0, 60.0, 600.0, 3600.0, 7200.0, 14_400.0, 57_600.0]
    time = [unix_millis()]
    receiver.status = itertools.repeat(500)
    settings = _settings(nats, receiver, ",".join(map(str, pauses)))
    async with serving(settings, ScriptedProviders(), clock=lambda: time[0]) as replica:
        job_id = (await replica.submit(records.job(webhook_url=receiver.url))).record.id
        time[0] += 1000  # the job ends by the real clock
        gaps = []
        for attempt in range(1, 9):
            replica.engine.webhooks.send_due(job_id)
            entry = await replica.reached(job_id, partial(_attempted, attempt))
            webhook = entry.record.webhook
            assert webhook.attempts[-1].status_code == 500
            assert "500" in webhook.attempts[-1].error
            assert not webhook.delivered
            if attempt < 8:
                gaps.append((webhook.next_at - time[0]) / 1000)
                # One millisecond early, nothing is sent.
                time[0] = webhook.next_at - 1
                replica.engine.webhooks.send_due(job_id)
                await asyncio.sleep(0)
                assert len(receiver.deliveries) == attempt
                time[0] += 1
        assert webhook.next_at == 0
        assert job_id not in replica.engine.feed.live
    assert len(receiver.deliveries) == 8
    assert all(0.9 * pause <= gap <= 1.1 * pause for pause, gap in zip(pauses, gaps, strict=True))
    assert len({gap / pause for pause, gap in zip(pauses, gaps, strict=True)}) > 1
    assert len({delivery.headers["webhook-id"] for delivery in receiver.deliveries}) == 1
    assert len({delivery.body for delivery in receiver.deliveries}) == 1


def test_default_webhook_schedule_spans_a_day(nats: Nats) -> None:
    pauses = nats.settings.webhook_pauses
    assert len(pauses) == 7
    assert list(pauses) == sorted(pauses)
    assert 20 * 3600 <= sum(pauses) <= 28 * 3600


@pytest.mark.parametrize("good", [200, 204, 299])
async def test_success_ends_the_attempts(replica: Replica, receiver: Receiver, good: int) -> None:
    receiver.status = iter([500, 302, 404, good])
    entry = await finished(replica, receiver.url)
    webhook = entry.record.webhook
    assert webhook.delivered
    assert [attempt.status_code for attempt in webhook.attempts] == [500, 302, 404, good]
    assert [attempt.HasField("error") for attempt in webhook.attempts] == [True, True, True, False]
    assert all(attempt.at for attempt in webhook.attempts)
    assert len(receiver.deliveries) == 4


async def test_410_ends_the_attempts(replica: Replica, receiver: Receiver) -> None:
    receiver.status = itertools.repeat(410)
    webhook = (await finished(replica, receiver.url)).record.webhook
    assert [attempt.status_code for attempt in webhook.attempts] == [410]
    assert not webhook.delivered
    assert len(receiver.deliveries) == 1


async def test_attempts_end_after_eight(replica: Replica, receiver: Receiver) -> None:
    receiver.status = itertools.repeat(503)
    webhook = (await finished(replica, receiver.url)).record.webhook
    assert len(webhook.attempts) == len(receiver.deliveries) == 8
    assert not webhook.delivered


async def test_url_guard_refuses_a_delivery(replica: Replica, receiver: Receiver) -> None:
    entry = await finished(replica, f"http://localhost:{receiver.port}/")
    assert [attempt.HasField("status_code") for attempt in entry.record.webhook.attempts] == [False] * 8
    assert all(attempt.error for attempt in entry.record.webhook.attempts)
    assert not receiver.deliveries


async def test_receiver_that_does_not_respond_is_retried(
    replica: Replica, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert webhook_message.ATTEMPT_SECONDS == 10
    monkeypatch.setattr(webhooks, "ATTEMPT_SECONDS", 0.05)
    receiver.silent = 1
    entry = await finished(replica, receiver.url)
    first, second = entry.record.webhook.attempts
    assert not first.HasField("status_code")
    assert "in time" in first.error
    assert second.status_code == 200


async def test_receiver_of_one_tenant_that_hangs_delays_no_other_tenants_webhook(nats: Nats) -> None:
    async with Receiver() as hanging, Receiver() as good:
        hanging.hold = asyncio.Event()
        settings = settings_for(
            nats.settings.data_dir,
            NATS_URL=nats.settings.nats_address(),
            ALLOW_HOSTS=f"{hanging.host},{good.host}",
        )
        async with serving(settings, ScriptedProviders()) as up:
            for _ in range(60):
                submitted = await up.submit(records.job(tenant="noisy", webhook_url=hanging.url))
                await up.ended(submitted.record.id)
            await until(lambda: len(hanging.deliveries) == webhooks.MAX_CONCURRENT_PER_TENANT)
            submitted = await up.submit(records.job(tenant="quiet", webhook_url=good.url))
            await up.ended(submitted.record.id)
            await until(lambda: good.deliveries)
            assert len(hanging.deliveries) == webhooks.MAX_CONCURRENT_PER_TENANT


# ---- redelivery and takeover


async def test_redelivery_sends_one_more_attempt_with_the_same_id(replica: Replica, receiver: Receiver) -> None:
    entry = await finished(replica, receiver.url)
    # From the caller's last known state, which may be older.
    ended = [found async for found in replica.stream.history(entry.record.id, 0)][-1]
    await replica.engine.webhooks.redeliver(ended)
    entry = await replica.reached(entry.record.id, lambda found: len(found.record.webhook.attempts) == 2)
    assert entry.record.webhook.delivered
    assert entry.record.state == states.COMPLETED
    assert len(receiver.deliveries) == 2
    assert receiver.deliveries[0].headers["webhook-id"] == receiver.deliveries[1].headers["webhook-id"]


async def test_redelivery_after_the_last_attempt_is_one_attempt(replica: Replica, receiver: Receiver) -> None:
    receiver.status = itertools.repeat(500)
    entry = await finished(replica, receiver.url)
    await replica.engine.webhooks.redeliver(entry)
    entry = await over(replica, entry.record.id)
    assert len(entry.record.webhook.attempts) == len(receiver.deliveries) == 9


async def test_redelivery_during_an_attempt_is_not_lost(replica: Replica, receiver: Receiver) -> None:
    receiver.hold = asyncio.Event()
    submitted = await replica.submit(records.job(webhook_url=receiver.url))
    ended = await replica.ended(submitted.record.id)
    await until(lambda: len(receiver.deliveries) == 1)
    await replica.engine.webhooks.redeliver(ended)
    receiver.hold.set()
    await until(lambda: len(receiver.deliveries) == 2)
    entry = await over(replica, submitted.record.id)
    assert entry.record.webhook.delivered


async def test_another_replica_sends_webhooks_after_a_crash(nats: Nats, receiver: Receiver) -> None:
    settings = _settings(nats, receiver, "0.05")
    receiver.hold = asyncio.Event()
    async with serving(settings, ScriptedProviders()) as dying:
        submitted = await dying.submit(records.job(webhook_url=receiver.url))
        ended = await dying.ended(submitted.record.id)
        await until(lambda: len(receiver.deliveries) == 1)
        await dying.crash()
    receiver.hold.set()
    async with serving(settings, ScriptedProviders()) as heir:
        entry = await over(heir, ended.record.id)
        assert entry.record.owner == heir.engine.membership.owner
        assert entry.record.webhook.delivered
        secret = (await heir.engine.webhook_secrets.get("acme")).secret
    for delivery in receiver.deliveries:
        Webhook(secret).verify(delivery.body, delivery.headers)
    assert len({delivery.headers["webhook-id"] for delivery in receiver.deliveries}) == 1


# ---- secrets


def root() -> RootSecret:
    return RootSecret(ROOT)


async def test_secret_is_encrypted_at_rest(nats: Nats, client: Client) -> None:
    opened = await WebhookSecrets.open(client, 1, root())
    secret = (await opened.get("acme")).secret
    await opened.rotate("acme")
    assert secret.startswith("whsec_")
    kv = await client.jetstream().key_value(secrets_module.BUCKET)
    names = await kv.keys()
    assert "acme" not in " ".join(names)
    values = [(await kv.get(name)).value or b"" for name in names]
    stored = b"".join(path.read_bytes() for path in (nats.settings.data_dir / "nats").rglob("*.blk"))
    for raw in (*values, stored):
        assert b"whsec" not in raw
        assert secret.removeprefix("whsec_").encode() not in raw
    assert values
    assert stored


async def test_concurrent_reads_get_one_secret(nats: Nats) -> None:
    clients = [await connect(nats.settings, f"asker-{index}") for index in range(3)]
    try:
        opened = await asyncio.gather(*(WebhookSecrets.open(client, 1, root()) for client in clients))
        found = await asyncio.gather(*(opened[index % 3].get("acme") for index in range(15)))
        assert len({secret.secret for secret in found}) == 1
        assert (await opened[0].get("other")).secret != found[0].secret
        rotated = await asyncio.gather(*(each.rotate("acme") for each in opened))
        assert len({secret.secret for secret in rotated}) == 3
        assert await opened[0].get("acme") in rotated
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def test_previous_secret_signs_for_a_day(client: Client) -> None:
    time = [1_000_000.0]
    kv = await client.jetstream().create_key_value(bucket="rotated", history=1)
    opened = WebhookSecrets(kv, root(), clock=lambda: time[0])
    old = await opened.get("acme")
    assert old.signing(time[0]) == [old.secret]
    new = await opened.rotate("acme")
    assert new.previous_expires_at == 1_000_000 + OVERLAP_SECONDS == 1_086_400
    assert new.signing(time[0]) == new.signing(1_086_399) == [new.secret, old.secret]
    assert new.signing(1_086_400) == [new.secret]
    assert await opened.get("acme") == new


async def test_secrets_survive_a_crash_of_the_server(nats: Nats, client: Client) -> None:
    opened = await WebhookSecrets.open(client, 1, root())
    secret = await opened.rotate("acme")
    nats.kill()
    nats.start()
    again = await connect(nats.settings, "again")
    try:
        assert await (await WebhookSecrets.open(again, 1, root())).get("acme") == secret
    finally:
        await again.close()
