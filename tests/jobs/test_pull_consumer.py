"""Pull consumer: batches, their end, and the errors of the server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import nats.errors
import pytest
from imagegateway.jobs.pull_consumer import _END_SECONDS, PullConsumer
from nats.js import api

from tests.jobs.server import PATIENCE

if TYPE_CHECKING:
    from imagegateway.platform.nats_client import Client


@pytest.fixture
async def consumer(client: Client) -> PullConsumer:
    """Return a reader of a durable consumer over the stream NEWS."""
    js = client.jetstream()
    await js.add_stream(name="NEWS", subjects=["news.>"])
    await js.add_consumer("NEWS", api.ConsumerConfig(durable_name="reader", ack_policy=api.AckPolicy.EXPLICIT))
    return PullConsumer(client, "NEWS", "reader")


async def publish(client: Client, count: int) -> None:
    for number in range(count):
        await client.jetstream().publish(f"news.{number}", b"%d" % number, headers={"Kind": "text"})


async def test_full_batch_leaves_the_rest_for_the_next_one(client: Client, consumer: PullConsumer) -> None:
    await publish(client, 3)
    found = await consumer.fetch(2)
    assert len(found) == 2
    found += await consumer.fetch(1)
    assert [(each.message.subject, each.message.seq, each.message.data) for each in found] == [
        ("news.0", 1, b"0"),
        ("news.1", 2, b"1"),
        ("news.2", 3, b"2"),
    ]


async def test_batch_has_what_waits_and_does_not_wait_for_more(client: Client, consumer: PullConsumer) -> None:
    await publish(client, 2)
    began = time.monotonic()
    assert len(await consumer.fetch(100)) == 2
    assert await consumer.fetch(100) == []
    await publish(client, 1)
    assert len(await consumer.fetch(100)) == 1
    assert time.monotonic() - began < _END_SECONDS


async def test_acknowledged_messages_do_not_come_again(client: Client, consumer: PullConsumer) -> None:
    await publish(client, 2)
    for delivery in await consumer.fetch(2):
        await consumer.acknowledge(delivery)
    async with asyncio.timeout(PATIENCE):
        while (await client.jetstream().consumer_info("NEWS", "reader")).num_ack_pending:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_deleted_consumer_is_an_error(client: Client, consumer: PullConsumer) -> None:
    await client.jetstream().delete_consumer("NEWS", "reader")
    with pytest.raises(nats.errors.Error):
        await consumer.fetch(100)
