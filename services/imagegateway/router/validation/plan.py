"""Plan: the result of validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.providers.catalog import Modality, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.providers.catalog import Model, Route
    from imagegateway.v1.job_pb2 import Warning as PbWarning


@dataclass(frozen=True, slots=True)
class Plan:
    """A validated request: everything that its job needs."""

    model: Model
    route: Route
    task: provider.ImageTask
    warnings: tuple[PbWarning, ...]
    b64_json: bool
    """True when the response carries image bytes instead of URLs."""
    stream: bool
    metadata: dict[str, str]
    webhook_url: str
    is_edit: bool
    stored_keys: Mapping[str, bytes]
    """The tenant's stored keys by route, encrypted, as of the choice of the route. Empty when the caller brings a
    key, because that key fixes the route."""
    routes: tuple[Route, ...]
    """Routes that may serve: `route`, and those of a fallback in their order."""
    own_key_routes: frozenset[str]
    """Routes that the caller brings or the tenant has stored a key for: calls of these cost nothing here."""

    @property
    def size(self) -> tuple[int, int]:
        """Return the requested width and height in pixels, or the model's default."""
        return self.model.output_size(self.task)

    @property
    def inline(self) -> bool:
        """Return True when callers wait for the images by default."""
        return self.route.mode == Mode.INLINE

    @property
    def job_type(self) -> str:
        """Return the public type of the job: `video.generation`, `image.edit` or `image.generation`."""
        if self.model.modality == Modality.VIDEO:
            return "video.generation"
        return "image.edit" if self.is_edit else "image.generation"
