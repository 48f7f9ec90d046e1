"""Rate limits: token buckets of requests and images a minute, for each API key and each tenant.

A token bucket is stored as the time at which it is full again (the generic cell rate algorithm): nothing refills it,
and a replica whose clock is behind admits a little less, never more. The documents are in the memory of the NATS
servers, so a limit holds over all replicas and survives a router's restart.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson
from imagegateway.keys.policy import key_account, tenant_account
from imagegateway.platform import logs
from imagegateway.platform.errors import GatewayError, UnavailableError, invalid
from imagegateway.platform.nats import MemoryBucket
from imagegateway.platform.shared_documents import SharedDocuments
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from imagegateway.keys.api_keys import ApiKey
    from imagegateway.keys.policy import Quota
    from imagegateway.keys.tenants import Tenants
    from nats.aio.client import Client

BUCKET: Final = "rate_limits"
MINUTE: Final = 60 * 10**9
"""Time in which an empty token bucket is full again. All times are nanoseconds."""
_KEPT_SECONDS: Final = 150.0
"""Lifetime of a document after its last change: a token bucket without one for a minute is full."""
_ADVANCE: Final = 200
"""Share of a bucket that a replica takes in advance while at least half of it is left: one in `_ADVANCE` tokens."""
_FRESH_SECONDS: Final = 1.0
"""Age up to which a document in memory is used without a read."""
_READ_SECONDS: Final = 0.5
"""Timeout of a read for the headers. Calls that make no job go on without it."""
_RETURN_SECONDS: Final = 2.0
"""Longest time in which a failed call returns its tokens: its caller waits for the error."""
_log = logs.get(__name__)


class Measure(StrEnum):
    """Quantity that a rate limit counts."""

    REQUESTS = "requests"
    IMAGES = "images"


class TokenBuckets(NamedTuple):
    """Token buckets of one account: Unix times at which they are full again, or spans of time that tokens cost."""

    requests: int = 0
    images: int = 0

    def minus(self, spent: TokenBuckets) -> TokenBuckets:
        """Return the buckets with returned tokens."""
        return TokenBuckets(self.requests - spent.requests, self.images - spent.images)


FULL: Final = TokenBuckets()


class Tokens(NamedTuple):
    """Tokens of a call, or tokens that a replica has taken in advance."""

    requests: int = 0
    images: int = 0


NO_TOKENS: Final = Tokens()


@dataclass(frozen=True, slots=True)
class RateLimit:
    """State of one rate limit."""

    measure: Measure
    limit: int
    """Tokens of the full bucket, and tokens a minute."""
    remaining: int
    reset: int
    """Time until the bucket is full again, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Account:
    """A key or a tenant with its limits. `name` is that of its document, `label` its name in messages."""

    name: str
    label: str
    quota: Quota

    def check_size(self, images: int) -> None:
        """Raise GatewayError for a call of more images than a full bucket has tokens."""
        limit = self.quota.images_per_minute
        if limit is not None and images > limit:
            raise invalid("n", f"n is {images}, and {self.label} may make {limit} images a minute.")

    def spend(self, buckets: TokenBuckets, images: int, now: int) -> TokenBuckets:
        """Return the buckets after a call.

        Raises GatewayError RATE_LIMIT_EXCEEDED when a bucket has too few tokens.
        """
        requests_limit, images_limit = self.quota.requests_per_minute, self.quota.images_per_minute
        spent = self.cost(images)
        requests_at, requests_wait = _moved(buckets.requests, spent.requests, now)
        images_at, images_wait = _moved(buckets.images, spent.images, now)
        if requests_limit and requests_wait > max(0, images_wait):
            raise self._exceeded(Measure.REQUESTS, requests_limit, requests_wait)
        if images_limit and images_wait > 0:
            raise self._exceeded(Measure.IMAGES, images_limit, images_wait)
        return TokenBuckets(requests_at, images_at)

    @property
    def advance(self) -> Tokens:
        """Return the most tokens that a replica holds in advance."""
        return Tokens(
            (self.quota.requests_per_minute or 0) // _ADVANCE, (self.quota.images_per_minute or 0) // _ADVANCE
        )

    def spend_ahead(self, buckets: TokenBuckets, more: Tokens, now: int) -> TokenBuckets | None:
        """Return the buckets after tokens were taken in advance. None: less than half of a bucket would be left."""
        requests_at, requests_wait = _moved(
            buckets.requests, _span(more.requests, self.quota.requests_per_minute), now
        )
        images_at, images_wait = _moved(buckets.images, _span(more.images, self.quota.images_per_minute), now)
        return None if max(requests_wait, images_wait) > -MINUTE // 2 else TokenBuckets(requests_at, images_at)

    def take(self, held: Tokens, images: int) -> Tokens | None:
        """Return the tokens that are left of `held` after a call. None: they are too few."""
        most = self.advance  # the limit may have been lowered since
        requests_left, images_left = min(held.requests, most.requests) - 1, min(held.images, most.images) - images
        if (self.quota.requests_per_minute and requests_left < 0) or (
            self.quota.images_per_minute and images_left < 0
        ):
            return None
        return Tokens(max(0, requests_left), max(0, images_left))

    def cost(self, images: int) -> TokenBuckets:
        """Return the spans of time that a call's tokens cost."""
        return TokenBuckets(_span(1, self.quota.requests_per_minute), _span(images, self.quota.images_per_minute))

    def states(self, buckets: TokenBuckets, held: Tokens, now: int) -> list[RateLimit]:
        """Return the states of the limits. `held`: tokens that this replica has taken in advance."""
        states = (
            (Measure.REQUESTS, self.quota.requests_per_minute, max(0, buckets.requests - now), held.requests),
            (Measure.IMAGES, self.quota.images_per_minute, max(0, buckets.images - now), held.images),
        )
        return [
            RateLimit(measure, limit, min(limit, max(0, MINUTE - missing) * limit // MINUTE + more), missing)
            for measure, limit, missing, more in states
            if limit is not None
        ]

    def _exceeded(self, measure: Measure, limit: int, wait: int) -> GatewayError:
        seconds = wait / 10**9
        return GatewayError(
            ErrorReason.ERROR_REASON_RATE_LIMIT_EXCEEDED,
            f"Rate limit of {measure} reached: {self.label} may make {limit} {measure} a minute; "
            f"try again in {seconds:.3g} s.",
            retry_after=seconds,
            details={"measure": measure, "limit": str(limit)},
        )


def _span(tokens: int, limit: int | None) -> int:
    """Return the time in which tokens come back, rounded up. 0: no limit."""
    return 0 if limit is None else -(-tokens * MINUTE // limit)


def _moved(full_at: int, span: int, now: int) -> tuple[int, int]:
    """Return the time at which a bucket is full again after a call, and the wait until it has enough tokens.

    The wait is negative while tokens are left: -MINUTE for a bucket that stays full.
    """
    if not span:
        return full_at, -MINUTE
    moved = max(full_at, now) + span
    return moved, moved - now - MINUTE


class RateLimiter:
    """Rate limits of keys and tenants, shared by all replicas.

    `clock` returns Unix nanoseconds, `monotonic` seconds.
    """

    def __init__(
        self,
        documents: SharedDocuments[TokenBuckets],
        tenant_quota: Callable[[str], Quota],
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._tenant_quota = tenant_quota
        self._clock = clock
        self._monotonic = monotonic
        self._held: dict[str, Tokens] = {}
        """Tokens that were taken in advance, by document: calls that they suffice for need no write."""
        self._taking_ahead: set[str] = set()
        self._seen_at: OrderedDict[str, float] = OrderedDict()
        """Monotonic times at which documents were last read or written, oldest first."""

    @classmethod
    async def open(cls, client: Client, replicas: int, tenants: Tenants, outage: asyncio.Event) -> RateLimiter:
        """Open the documents. `outage` as in SharedDocuments.

        Raises nats.errors.Error without a connection to JetStream.
        """
        kv = await MemoryBucket.open(client.jetstream(), BUCKET, replicas, _KEPT_SECONDS)
        documents = SharedDocuments(kv, empty=FULL, encode=_encode, decode=_decode, outage=outage)
        return cls(documents, tenants.quota)

    def limits(self, key: ApiKey) -> bool:
        """Return whether the key or its tenant has a limit of rates."""
        return bool(self._accounts(key))

    @asynccontextmanager
    async def hold(self, key: ApiKey, images: int) -> AsyncIterator[None]:
        """Take the tokens of a call that makes a job, and return them when the body raises an exception.

        Raises GatewayError RATE_LIMIT_EXCEEDED, and INVALID_VALUE for more images than a full bucket has tokens.
        Raises UnavailableError. A caller that disconnects loses its tokens: its job goes on.
        """
        accounts = self._accounts(key)
        for account in accounts:
            account.check_size(images)
        for account in accounts:
            self._refuse_early(account, images)
        taken = await self._take_all(accounts, images)
        try:
            yield
        except Exception:
            await self._return(taken)
            raise

    async def states(self, key: ApiKey) -> Sequence[RateLimit]:
        """Return the states of a key's limits: of key and tenant the one with fewer tokens. Empty: no limits.

        The states are at most a second old, or the last known ones while NATS does not answer.
        """
        tightest: dict[Measure, RateLimit] = {}
        for account in self._accounts(key):
            buckets = await self._buckets(account.name)
            held = self._held.get(account.name, NO_TOKENS)
            for state in account.states(buckets, held, self._clock()) if buckets else ():
                other = tightest.get(state.measure)
                if other is None or (state.remaining, state.limit) < (other.remaining, other.limit):
                    tightest[state.measure] = state
        return tuple(tightest.values())

    def _accounts(self, key: ApiKey) -> list[Account]:
        """Return the accounts that limit rates."""
        accounts: list[Account] = []
        if key.quota.limits_rates:
            accounts.append(Account(key_account(key.id), "this key", key.quota))
        of_tenant = self._tenant_quota(key.tenant)
        if of_tenant.limits_rates:
            accounts.append(Account(tenant_account(key.tenant), "your tenant", of_tenant))
        return accounts

    def _refuse_early(self, account: Account, images: int) -> None:
        """Raise GatewayError if a fresh document in memory refuses the call, so that floods cause no reads."""
        if account.take(self._held.get(account.name, NO_TOKENS), images) is not None:
            return
        buckets = self._documents.last_known(account.name)
        if buckets is not None and self._is_fresh(account.name):
            account.spend(buckets, images, self._clock())

    async def _take_all(self, accounts: list[Account], images: int) -> dict[str, TokenBuckets]:
        """Take the tokens of all accounts or of none. Return them by document.

        Raises GatewayError RATE_LIMIT_EXCEEDED, UnavailableError.
        """
        if len(accounts) == 1:  # the usual case, without tasks
            return {accounts[0].name: await self._take(accounts[0], images)}
        outcomes = await asyncio.gather(
            *(self._take(account, images) for account in accounts), return_exceptions=True
        )
        taken: dict[str, TokenBuckets] = {}
        failure: BaseException | None = None
        for account, outcome in zip(accounts, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                failure = failure or outcome
            else:
                taken[account.name] = outcome
        if failure is not None:
            await self._return(taken)
            raise failure
        return taken

    async def _take(self, account: Account, images: int) -> TokenBuckets:
        """Take the tokens of one account: of those taken in advance, else of its buckets. Return what they cost."""
        left = account.take(self._held.get(account.name, NO_TOKENS), images)
        if left is not None:
            self._held[account.name] = left
            return account.cost(images)
        more = self._missing(account)

        def step(buckets: TokenBuckets) -> tuple[TokenBuckets, Tokens]:
            now = self._clock()
            buckets = account.spend(buckets, images, now)
            further = account.spend_ahead(buckets, more, now) if any(more) else None
            return (buckets, NO_TOKENS) if further is None else (further, more)

        if any(more):
            self._taking_ahead.add(account.name)
        try:
            ahead = await self._documents.change(account.name, step)
        finally:
            if any(more):
                self._taking_ahead.discard(account.name)
            self._note(account.name)
        if any(ahead):
            held = self._held.get(account.name, NO_TOKENS)
            self._held[account.name] = Tokens(held.requests + ahead.requests, held.images + ahead.images)
        return account.cost(images)

    def _missing(self, account: Account) -> Tokens:
        """Return the tokens to take in advance: none while another call does."""
        if account.name in self._taking_ahead:
            return NO_TOKENS
        held, most = self._held.get(account.name, NO_TOKENS), account.advance
        return Tokens(max(0, most.requests - held.requests), max(0, most.images - held.images))

    async def _return(self, taken: dict[str, TokenBuckets]) -> None:
        for name, spent in taken.items():
            try:
                async with asyncio.timeout(_RETURN_SECONDS):
                    await self._documents.change(name, partial(_returned, spent))
            except (TimeoutError, UnavailableError) as error:  # the call has failed already
                _log.warning("rate_tokens_not_returned", account=name, error=type(error).__name__)

    async def _buckets(self, name: str) -> TokenBuckets | None:
        """Return an account's buckets, read at most once a second. None: unknown, and NATS does not answer."""
        known = self._documents.last_known(name)
        if known is None or not self._is_fresh(name):
            self._note(name)  # before the read, so that concurrent calls do not wait for it
            try:
                async with asyncio.timeout(_READ_SECONDS):
                    return await self._documents.read(name)
            except (TimeoutError, UnavailableError) as error:
                _log.warning("rate_limits_not_read", account=name, error=type(error).__name__)
        return known

    def _is_fresh(self, name: str) -> bool:
        return self._monotonic() - self._seen_at.get(name, float("-inf")) <= _FRESH_SECONDS

    def _note(self, name: str) -> None:
        """Record that a document was read or written, and forget those that are long unused."""
        now = self._monotonic()
        self._seen_at[name] = now
        self._seen_at.move_to_end(name)
        while self._seen_at:
            oldest, seen_at = next(iter(self._seen_at.items()))
            if now - seen_at < _KEPT_SECONDS:
                return
            del self._seen_at[oldest]
            self._held.pop(oldest, None)
            self._documents.forget(oldest)


def _returned(spent: TokenBuckets, buckets: TokenBuckets) -> tuple[TokenBuckets, None]:
    return buckets.minus(spent), None


def _encode(buckets: TokenBuckets) -> bytes:
    return orjson.dumps(tuple(buckets))


def _decode(value: bytes) -> TokenBuckets:
    """Return stored buckets. Raises ValueError for a malformed document."""
    times = orjson.loads(value)
    if not isinstance(times, list) or len(times) != 2 or not all(type(at) is int for at in times):
        raise ValueError("no pair of times")
    return TokenBuckets(*times)
