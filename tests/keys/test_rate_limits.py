"""Rate limits over several replicas and one NATS server."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from imagegateway.keys import rate_limits
from imagegateway.keys.api_keys import ApiKey
from imagegateway.keys.policy import NO_LIMITS, Quota, key_account
from imagegateway.keys.rate_limits import FULL, Measure, RateLimit, RateLimiter
from imagegateway.platform.errors import GatewayError, UnavailableError
from imagegateway.platform.nats import MemoryBucket, connect
from imagegateway.platform.shared_documents import SharedDocuments

from tests.keys.test_token_buckets import NOW, SECOND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.keys.rate_limits import TokenBuckets

    from tests.jobs.server import Nats


@dataclass(slots=True)
class Replica:
    """A limiter with a separate connection, and clocks that the test sets."""

    limiter: RateLimiter
    documents: SharedDocuments[TokenBuckets]
    quotas: dict[str, Quota] = field(default_factory=dict)
    """Quotas of tenants."""
    now: int = NOW
    seconds: float = 0.0

    async def calls(self, key: ApiKey, count: int, images: int = 1) -> Counter[str]:
        """Make concurrent calls. Return how many were admitted, and refused with each code."""
        return Counter(await asyncio.gather(*(self.call(key, images) for _ in range(count))))

    async def call(self, key: ApiKey, images: int = 1) -> str:
        try:
            async with self.limiter.hold(key, images):
                return "admitted"
        except GatewayError as error:
            return error.code


@asynccontextmanager
async def replica(nats: Nats) -> AsyncIterator[Replica]:
    client = await connect(nats.settings, "replica")
    kv = await MemoryBucket.open(client.jetstream(), rate_limits.BUCKET, 1, 150)
    documents = SharedDocuments(kv, empty=FULL, encode=rate_limits._encode, decode=rate_limits._decode)
    made: Replica
    limiter = RateLimiter(
        documents,
        lambda tenant: made.quotas.get(tenant, NO_LIMITS),
        clock=lambda: made.now,
        monotonic=lambda: made.seconds,
    )
    made = Replica(limiter, documents)
    try:
        yield made
    finally:
        await client.close()


def key(requests: int | None = None, images: int | None = None, key_id: str = "k1") -> ApiKey:
    quota = Quota(requests_per_minute=requests, images_per_minute=images)
    return ApiKey(key_id, "acme", "", 0, quota=quota)


async def test_limit_holds_over_two_replicas(nats: Nats) -> None:
    async with replica(nats) as first, replica(nats) as second:
        limited = key(requests=50)
        counts = await asyncio.gather(*(one.calls(limited, 60) for one in (first, second)))
        assert sum(counts, Counter()) == {"admitted": 50, "rate_limit_exceeded": 70}
        for one in (first, second):
            one.now += 12 * SECOND
            one.seconds += 12
        counts = await asyncio.gather(*(one.calls(limited, 60) for one in (first, second)))
        assert sum(counts, Counter())["admitted"] == 10


async def test_restarted_replica_counts_on(nats: Nats) -> None:
    async with replica(nats) as first:
        assert await first.calls(key(images=10), 3, images=3) == {"admitted": 3}
    async with replica(nats) as second:
        assert await second.call(key(images=10), images=2) == "rate_limit_exceeded"
        assert await second.call(key(images=10)) == "admitted"


async def test_restarted_nats_server_starts_with_full_buckets(nats: Nats) -> None:
    async with replica(nats) as one:
        assert (await one.calls(key(requests=3), 4))["admitted"] == 3
        nats.kill()
        nats.start()
        async with asyncio.timeout(20):
            while (await one.limiter.states(key(requests=3)))[0].remaining == 0:
                one.seconds += 2
        assert await one.calls(key(requests=3), 4) == {"admitted": 3, "rate_limit_exceeded": 1}


async def test_call_needs_tokens_of_its_key_and_of_its_tenant(nats: Nats) -> None:
    async with replica(nats) as one:
        one.quotas["acme"] = Quota(requests_per_minute=5)
        assert (await one.calls(key(requests=4), 6))["admitted"] == 4
        assert (await one.calls(key(requests=4, key_id="k2"), 6))["admitted"] == 1
        states = {state.measure: state for state in await one.limiter.states(key(requests=4, key_id="k2"))}
        assert (states[Measure.REQUESTS].limit, states[Measure.REQUESTS].remaining) == (5, 0)
        one.quotas.clear()
        assert (await one.calls(key(requests=4, key_id="k2"), 6))["admitted"] == 3, "refused calls cost no tokens"


async def test_refusal_names_the_tenant(nats: Nats) -> None:
    async with replica(nats) as one:
        one.quotas["acme"] = Quota(images_per_minute=2)
        with pytest.raises(GatewayError, match=r"n is 3, and your tenant may make 2 images a minute\."):
            async with one.limiter.hold(key(), 3):
                pass
        await one.call(key(), 2)
        with pytest.raises(GatewayError, match="your tenant may make 2 images a minute; try again in 30 s"):
            async with one.limiter.hold(key(), 1):
                pass


async def test_failed_call_gets_its_tokens_back(nats: Nats) -> None:
    async with replica(nats) as one:
        limited = key(requests=2, images=8)
        with pytest.raises(LookupError):
            async with one.limiter.hold(limited, 8):
                raise LookupError
        assert await one.limiter.states(limited) == (
            RateLimit(Measure.REQUESTS, 2, 2, 0),
            RateLimit(Measure.IMAGES, 8, 8, 0),
        )


async def test_failed_call_does_not_wait_for_an_election_to_return_its_tokens(
    nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "_RETURN_SECONDS", 0.01)

    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    async def fail(one: Replica) -> None:
        async with one.limiter.hold(key(requests=2), 1):
            monkeypatch.setattr(one.documents, "change", silent)
            raise LookupError

    async with replica(nats) as one:
        with pytest.raises(LookupError):
            await asyncio.wait_for(fail(one), 20)


async def test_caller_that_disconnects_leaves_its_tokens(nats: Nats) -> None:
    async with replica(nats) as one:
        held = asyncio.Event()

        async def call() -> None:
            async with one.limiter.hold(key(requests=2), 1):
                held.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(call())
        await held.wait()
        task.cancel()
        await asyncio.wait([task])
        assert (await one.limiter.states(key(requests=2)))[0].remaining == 1


async def test_flood_of_refused_calls_reads_once_a_second(nats: Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    async with replica(nats) as one:
        changes: list[str] = []
        change = one.documents.change

        async def counted(name: str, step: Any) -> Any:
            changes.append(name)
            return await change(name, step)

        monkeypatch.setattr(one.documents, "change", counted)
        assert (await one.calls(key(requests=1), 2))["admitted"] == 1
        assert await one.calls(key(requests=1), 100) == {"rate_limit_exceeded": 100}
        assert len(changes) == 2
        one.seconds += 2
        assert await one.call(key(requests=1)) == "rate_limit_exceeded"
        assert len(changes) == 3


async def test_key_without_limits_uses_no_document(nats: Nats) -> None:
    async with replica(nats) as one:
        assert await one.calls(key(), 3, images=10) == {"admitted": 3}
        assert await one.limiter.states(key()) == ()
        assert one.documents.last_known(key_account("k1")) is None


async def test_unused_documents_are_forgotten(nats: Nats) -> None:
    async with replica(nats) as one:
        await one.call(key(requests=5))
        one.seconds += 151
        await one.call(key(requests=5, key_id="k2"))
        assert one.documents.last_known(key_account("k1")) is None
        assert one.documents.last_known(key_account("k2")) is not None


async def test_headers_of_another_replicas_calls_are_a_second_old_at_most(nats: Nats) -> None:
    async with replica(nats) as first, replica(nats) as second:
        limited = key(requests=10)
        await second.limiter.states(limited)
        await first.calls(limited, 4)
        assert (await second.limiter.states(limited))[0].remaining == 10
        second.seconds += 1.1
        assert (await second.limiter.states(limited))[0].remaining == 6


async def test_without_nats_new_jobs_fail_and_headers_are_the_last_known(
    nats: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object) -> None:
        raise UnavailableError("the job store does not answer")

    async with replica(nats) as one:
        limited = key(requests=10)
        await one.call(limited)
        one.seconds += 2
        monkeypatch.setattr(one.documents, "read", unavailable)
        monkeypatch.setattr(one.documents, "change", unavailable)
        assert (await one.limiter.states(limited))[0].remaining == 9
        assert await one.limiter.states(key(requests=3, key_id="k2")) == ()
        with pytest.raises(UnavailableError):
            async with one.limiter.hold(limited, 1):
                pass


@pytest.mark.parametrize("stored", [b"", b"{}", b"[1]", b"[1, true]", b'["1", 2]'])
async def test_malformed_document_counts_as_full(nats: Nats, stored: bytes) -> None:
    async with replica(nats) as one:
        await one.documents._kv.put(key_account("k1"), stored)
        assert (await one.calls(key(requests=3), 4))["admitted"] == 3


async def test_large_limit_is_counted_in_advance_and_holds_over_two_replicas(nats: Nats) -> None:
    async with replica(nats) as first, replica(nats) as second:
        limited = key(requests=2000)  # ten tokens in advance
        changes: list[str] = []
        change = first.documents.change

        async def counted(name: str, step: Any) -> Any:
            changes.append(name)
            return await change(name, step)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(first.documents, "change", counted)
            for number in range(22):
                assert await first.call(limited) == "admitted"
                assert (await first.limiter.states(limited))[0].remaining == 1999 - number
        assert len(changes) == 2
        counts = await asyncio.gather(*(one.calls(limited, 1500) for one in (first, second)))
        admitted = sum(counts, Counter())["admitted"]
        assert 1978 - 20 <= admitted <= 1978, "each replica may hold ten tokens that its calls did not need"


async def test_calls_larger_than_the_advance_cost_only_their_own_tokens(nats: Nats) -> None:
    async with replica(nats) as one:
        limited = key(images=600)  # three tokens in advance
        assert (await one.calls(limited, 30, images=10))["admitted"] == 30
        assert (await one.limiter.states(limited))[0].remaining == 300
        for _ in range(3):
            assert await one.call(limited) == "admitted"
        assert (await one.limiter.states(limited))[0].remaining == 297


async def test_lowered_limit_drops_the_advance(nats: Nats) -> None:
    async with replica(nats) as one:
        assert await one.call(key(requests=2000)) == "admitted"
        assert await one.calls(key(requests=2), 5) == {"admitted": 1, "rate_limit_exceeded": 4}
