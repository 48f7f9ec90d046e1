"""A simple call for any adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.call import Call
from imagegateway.providers.registry import HTTP_FAMILIES

if TYPE_CHECKING:
    from imagegateway.providers.kit.adapter import Adapter


def call_of(family: str, adapter: Adapter) -> Call:
    """Return a call for the first model that the adapter's route serves."""
    for model in HTTP_FAMILIES[family].models:
        for route in model.routes:
            if route.name == adapter.route:
                task = pb.ImageTask(model=model.id, route=route.name, prompt="a fox", n=1)
                return Call(task, model, route, "job_test", 0, 1)
    raise LookupError(f"no model of {family} is served by {adapter.route}")
