"""Tasks for the tests of a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagegateway.provider.v1 import provider_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable


def task_of(route: str, default_model: str, **defaults: Any) -> Callable[..., pb.ImageTask]:
    """Return a function that makes tasks of a route. `defaults`: fields of a task unless the call sets them."""

    def task(model: str = default_model, **fields: Any) -> pb.ImageTask:
        return pb.ImageTask(model=model, route=route, **{"prompt": "a fox", "n": 1, **defaults, **fields})

    return task
