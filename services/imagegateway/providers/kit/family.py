"""A provider family, as the router sees it through gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.provider.v1 import provider_service_pb2 as pb
    from imagegateway.providers.catalog import Model

    Tell = Callable[[pb.Running], Awaitable[None]]


class Family(Protocol):
    """Answers the three calls of ProviderService.

    A failure of the upstream is a `TaskState.failed`, or a GatewayError, which becomes one. Anything else that
    is raised is a fault of ours: it is logged with its traceback and the router sees INTERNAL.
    """

    @property
    def name(self) -> str:
        """The family's name, as in `Model.family`."""
        ...

    @property
    def models(self) -> tuple[Model, ...]:
        """Its part of the catalog."""
        ...

    async def start(self, request: pb.StartRequest, tell: Tell | None = None) -> pb.TaskState:
        """Begin a task; paid for from here on. `tell` is given all previews so far whenever another one has come
        before the answer.
        """
        ...

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        """How a task stands."""
        ...

    async def cancel(self, request: pb.CancelRequest) -> bool:
        """Stop a task, or without a reference the start that is still under way; False where the upstream can't."""
        ...

    async def close(self) -> None:
        """Give back what the family holds."""
        ...
