"""Pull consumer: batches, their time, and the errors of the server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import nats.errors
import pytest
from imagegateway.jobs.pull_consumer import PullConsumer
from nats.js import api

from tests.jobs.server import PATIENCE, until

if TYPE_CHECKING:
    from imagegateway.platform.nats_client import Client

LONG = 20.0


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


async def test_full_batch_returns_at_once(client: Client, consumer: PullConsumer) -> None:
    await publish(client, 3)
    async with asyncio.timeout(PATIENCE / 4):
        found = await consumer.fetch(2, LONG)
        found += await consumer.fetch(1, LONG)
    assert [(each.message.subject, each.message.seq, each.message.data) for each in found] == [
        ("news.0", 1, b"0"),
        ("news.1", 2, b"1"),
        ("news.2", 3, b"2"),
    ]


async def test_batch_ends_with_its_time(client: Client, consumer: PullConsumer) -> None:
    await publish(client, 2)
    began = time.monotonic()
    assert len(await consumer.fetch(100, 0.1)) == 2
    assert await consumer.fetch(100, 0.1) == []
    assert time.monotonic() - began < 0.1 + PATIENCE / 4


async def test_hastened_batch_returns_what_has_come(client: Client, consumer: PullConsumer) -> None:
    await publish(client, 1)
    fetching = asyncio.create_task(consumer.fetch(100, LONG))
    await until(lambda: consumer._arrived)
    consumer.hasten()
    async with asyncio.timeout(PATIENCE / 4):
        assert len(await fetching) == 1


async def test_acknowledged_messages_do_not_come_again(client: Client, consumer: PullConsumer) -> None:
    await publish(client, 2)
    for delivery in await consumer.fetch(2, LONG):
        await consumer.acknowledge(delivery)
    async with asyncio.timeout(PATIENCE):
        while (await client.jetstream().consumer_info("NEWS", "reader")).num_ack_pending:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_deleted_consumer_is_an_error(client: Client, consumer: PullConsumer) -> None:
    fetching = asyncio.create_task(consumer.fetch(100, LONG))
    await until(lambda: consumer._end)
    await client.jetstream().delete_consumer("NEWS", "reader")
    with pytest.raises(nats.errors.Error):
        await fetching
