"""gRPC client of the provider servers."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import grpc
from imagegateway.jobs.provider_replicas import ReplicaSet
from imagegateway.platform import logs
from imagegateway.platform.addresses import resolve as resolve_address
from imagegateway.platform.errors import INTERNAL, GatewayError
from imagegateway.platform.grpc_server import CALL_REACHED
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.task_state import outcome_unknown
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from imagegateway.jobs.provider_replicas import Connection, Replica, Resolve
    from imagegateway.platform.internal_tls import InternalTls
    from imagegateway.platform.settings import Settings
    from imagegateway.provider.v1.provider_service_pb2_grpc import ProviderServiceAsyncStub

    Metadata = Sequence[tuple[str, str]]

_UNREACHABLE: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
_REFUSED: Final = {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED}
"""Statuses of a server that serves other models, or other callers: the call has not begun there."""
_UNANSWERED: Final = _UNREACHABLE | _REFUSED | {grpc.StatusCode.ABORTED}
"""Statuses of a poll that another server, or the same one later, answers."""
_NEVER_SENT: Final = "failed to connect to all addresses"
"""Start of gRPC's own message for a call without a connection."""
_REFUSAL_SECONDS: Final = 5.0
"""Time within which a stopping server refuses a call, in seconds. A call that has begun goes on for 10 s or more."""
_STOPPING_SECONDS: Final = 0.5
"""Pause after the refusal of a server that stops, in seconds: longer than it refuses."""
_CONNECT_SECONDS: Final = 30.0
"""Timeout of the connection for a new call: a server that restarts ends its calls for up to 10 s before it does."""
_RETRY_AFTER_SECONDS: Final = 10.0
_REJOIN_SECONDS: Final = 60.0
"""Timeout of the connection for a call that may be in progress."""
_RETRY_SECONDS: Final = 0.1
_POLL_CONNECT_SECONDS: Final = 5.0
"""Timeout of the connection for a poll or a cancel."""
_POLL_SECONDS: Final = 60.0
"""Timeout of a poll. A server that is still fetching a result continues, and the next poll joins it."""
_CANCEL_SECONDS: Final = 10.0
_log = logs.get(__name__)


class ProviderClient:
    """Calls ProviderService of the family that a model belongs to. Families at the same addresses share channels."""

    def __init__(
        self,
        settings: Settings,
        families: Iterable[str],
        tls: InternalTls | None = None,
        resolve: Resolve = resolve_address,
    ) -> None:
        """`resolve` returns the addresses behind one. Raises SettingError."""
        by_family = {family: settings.provider_addresses(family) for family in families}
        sets = {addresses: ReplicaSet(addresses, tls, resolve) for addresses in by_family.values()}
        self._replicas = {family: sets[addresses] for family, addresses in by_family.items()}

    async def close(self) -> None:
        """Close all channels."""
        await asyncio.gather(*(replicas.aclose() for replicas in set(self._replicas.values())))

    async def start(
        self, family: str, request: pb.StartRequest, metadata: Metadata = ()
    ) -> AsyncGenerator[pb.TaskState, None]:
        """Start or join the provider call of a job's attempt.

        Yield a running state without a task reference for each partial image, where the task asks for them, and the
        final state of the call last. The provider server owns the call, so a broken connection is replaced and joins
        the call again, at the replica that began it. A call that no replica knows ends as PROVIDER_OUTCOME_UNKNOWN.

        Raises GatewayError: PROVIDER_UNAVAILABLE when no server can have begun a new call, PROVIDER_OUTCOME_UNKNOWN
        when one may have begun the call and stays unreachable.
        """
        replicas = self._replicas[family]
        owner: Replica | None = None
        strangers: set[Replica] = set()
        """Replicas that certainly do not have the call."""
        expires = _in(_REJOIN_SECONDS if request.join_only else _CONNECT_SECONDS)
        while True:
            reached = await _reach(replicas, request.job_id, owner, strangers, _left(expires))
            if reached is None:
                if request.join_only and strangers and _left(expires) > 0:
                    yield outcome_unknown()
                    return
                raise _outcome_unknown(family) if request.join_only else _unreachable(family)
            replica, connection = reached
            began = asyncio.get_running_loop().time()
            try:
                with connection as stub:
                    if not request.task.partial_images:
                        yield (await stub.Start(request, metadata=metadata)).state
                        return
                    async with aclosing(_watch(stub, request, metadata)) as states:
                        async for state in states:
                            yield state
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND or (not request.join_only and error.code() in _REFUSED):
                    strangers.add(replica)
                    continue
                seconds = asyncio.get_running_loop().time() - began
                if error.code() is grpc.StatusCode.ABORTED or _was_refused(error, seconds):
                    replica.suspend()
                    await asyncio.sleep(_STOPPING_SECONDS)
                    continue
                if error.code() not in _UNREACHABLE:
                    raise _rpc_failure(family, error) from error
                _log.warning("provider_call_rejoined", family=family, job_id=request.job_id, status=error.code().name)
                if not request.join_only and not (error.details() or "").startswith(_NEVER_SENT):
                    owner, request = replica, _joining(request)
                if request.join_only:
                    expires = _in(_REJOIN_SECONDS)
            else:
                return
            await asyncio.sleep(_RETRY_SECONDS)

    async def poll(self, family: str, request: pb.PollRequest, metadata: Metadata = ()) -> pb.TaskState | None:
        """Return the state of a task; None when no provider server answers. Raises GatewayError."""
        reached = await self._replicas[family].connected(request.job_id, _POLL_CONNECT_SECONDS)
        if reached is None:
            _log.warning("poll_unanswered", family=family, job_id=request.job_id, status="unreachable")
            return None
        replica, connection = reached
        try:
            with connection as stub:
                return (await stub.Poll(request, metadata=metadata, timeout=_POLL_SECONDS)).state
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.ABORTED:
                replica.suspend()
            if error.code() in _UNANSWERED:
                _log.warning("poll_unanswered", family=family, job_id=request.job_id, status=error.code().name)
                return None
            raise _rpc_failure(family, error) from error

    async def cancel(self, family: str, request: pb.CancelRequest, metadata: Metadata = ()) -> bool:
        """Ask the provider to stop a task, or without a reference every replica to stop the task's start.

        Return whether one confirmed.
        """
        replicas = self._replicas[family]
        if not request.task_ref:
            every = await replicas.ordered(request.job_id)
            found = await asyncio.gather(*(replica.connected(_POLL_CONNECT_SECONDS) for replica in every))
            return any(await asyncio.gather(*(_cancel(family, each, request, metadata) for each in found)))
        reached = await replicas.connected(request.job_id, _POLL_CONNECT_SECONDS)
        return await _cancel(family, reached and reached[1], request, metadata)


async def _reach(
    replicas: ReplicaSet, job_id: str, owner: Replica | None, strangers: set[Replica], seconds: float
) -> tuple[Replica, Connection] | None:
    """Return a call's replica and its connection: the owner, else the first that may have the call."""
    if owner is None:
        return await replicas.connected(job_id, seconds, without=strangers)
    if owner in strangers:
        return None
    connection = await owner.connected(seconds)
    return (owner, connection) if connection else None


async def _watch(
    stub: ProviderServiceAsyncStub, request: pb.StartRequest, metadata: Metadata
) -> AsyncGenerator[pb.TaskState, None]:
    """Make one RPC and yield its states. Raises grpc.aio.AioRpcError."""
    call = stub.Watch(pb.WatchRequest(start=request), metadata=metadata)
    try:
        async for response in call:
            yield response.state
    finally:
        call.cancel()


async def _cancel(family: str, connection: Connection | None, request: pb.CancelRequest, metadata: Metadata) -> bool:
    status = "unreachable"
    if connection:
        try:
            with connection as stub:
                return (await stub.Cancel(request, metadata=metadata, timeout=_CANCEL_SECONDS)).requested
        except grpc.aio.AioRpcError as error:
            status = error.code().name
    _log.warning("cancel_unanswered", family=family, job_id=request.job_id, status=status)
    return False


def _joining(request: pb.StartRequest) -> pb.StartRequest:
    """Return a request that joins the call of another one."""
    joining = pb.StartRequest()
    joining.CopyFrom(request)
    joining.join_only = True
    return joining


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def _left(expires: float) -> float:
    return max(0.0, expires - asyncio.get_running_loop().time())


async def next_state(states: AsyncGenerator[pb.TaskState, None], deadline: int) -> pb.TaskState:
    """Return the next state of `ProviderClient.start`. `deadline` in Unix milliseconds.

    Raises TimeoutError at the deadline, and what `states` raises.
    """
    async with asyncio.timeout(max(0.0, deadline / 1000 - time.time())):
        return await anext(states)


def _was_refused(error: grpc.aio.AioRpcError, seconds: float) -> bool:
    """Return whether gRPC refused a call that failed after `seconds`, because its server stops.

    A call that has begun ends with the same status at the end of the server's grace period, but has the initial
    metadata CALL_REACHED. Servers up to version 0.2 do not send that: there only the time distinguishes the two.
    """
    if error.code() is not grpc.StatusCode.CANCELLED or seconds >= _REFUSAL_SECONDS:
        return False
    return CALL_REACHED not in dict(error.initial_metadata() or ())


def _rpc_failure(family: str, error: grpc.aio.AioRpcError) -> GatewayError:
    if error.code() is grpc.StatusCode.INTERNAL:
        return INTERNAL
    _log.warning("provider_server_failed", family=family, status=error.code().name, error=error.details())
    return _outcome_unknown(family)


def _unreachable(family: str) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_UNAVAILABLE,
        f"The server of the {family} models is not running.",
        retry_after=_RETRY_AFTER_SECONDS,
    )


def _outcome_unknown(family: str) -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_PROVIDER_OUTCOME_UNKNOWN,
        f"The server of the {family} models went away during the call; whether the provider took it is not known.",
    )
