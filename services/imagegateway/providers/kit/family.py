"""Provider family: the interface behind ProviderService, which the router calls by gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.provider.v1 import provider_service_pb2 as pb
    from imagegateway.providers.catalog import Model

    OnProgress = Callable[[pb.Running], Awaitable[None]]


class Family(Protocol):
    """Implementation of ProviderService's calls for a family's models.

    A failure of the provider is a `TaskState.failed`, or a GatewayError, which becomes one. Any other exception is a
    fault of the gateway: the servicer logs its traceback, and the router gets INTERNAL.
    """

    @property
    def name(self) -> str:
        """Return the family's name, as in `Model.family`."""
        ...

    @property
    def models(self) -> tuple[Model, ...]:
        """Return the family's part of the catalog."""
        ...

    async def start(self, request: pb.StartRequest, on_progress: OnProgress | None = None) -> pb.TaskState:
        """Start a task, which may be billed from here on. `on_progress` receives all partial images so far at each
        new one that precedes the result.
        """
        ...

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        """Return the task's present state."""
        ...

    async def cancel(self, request: pb.CancelRequest) -> bool:
        """Stop a task, or without a reference its unfinished start. Return False where the provider can't stop it."""
        ...

    async def close(self) -> None:
        """Release the family's resources."""
        ...
