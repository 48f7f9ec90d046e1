"""Call: one request to the provider for images of a task, with its inputs, options and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pybase64
from google.protobuf.json_format import MessageToDict
from imagegateway.media.signed_links import extension_of
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.kit.http_messages import FilePart
from imagegateway.v1.job_pb2 import Warning as PbWarning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imagegateway.provider.v1 import provider_service_pb2 as pb
    from imagegateway.providers.catalog import Model, Route


@dataclass(frozen=True, slots=True)
class InputImage:
    """Input image or mask. Masks are 8-bit greyscale PNGs of the first input's size: white = edit."""

    data: bytes
    media_type: str
    width: int
    height: int

    def file_part(self, field: str, name: str = "image") -> FilePart:
        """Return the image as a file of a multipart request."""
        return FilePart(field, f"{name}.{extension_of(self.media_type)}", self.data, self.media_type)

    def data_url(self) -> str:
        """Return the image as a base64 `data:` URL."""
        return f"data:{self.media_type};base64,{self.base64()}"

    def base64(self) -> str:
        """Return the image's bytes as base64."""
        return pybase64.b64encode_as_string(self.data)


@dataclass(slots=True)
class Call:
    """One request to the provider: `count` images of a task, the first of them number `index`, from 0."""

    task: pb.ImageTask
    model: Model
    route: Route
    job_id: str
    index: int
    count: int
    tenant: str = ""
    """Tenant whose share of the download slots the results use."""
    inputs: tuple[InputImage, ...] = ()
    mask: InputImage | None = None
    markup: InputImage | None = None
    warnings: list[PbWarning] = field(default_factory=list)

    @property
    def seed(self) -> int | None:
        """Return the seed of this call's first image; None where the caller leaves the seed to the provider."""
        return (self.task.seed + self.index) % (1 << 32) if self.task.HasField("seed") else None

    @property
    def options(self) -> dict[str, Any]:
        """Return the caller's provider options, with whole numbers as ints."""
        return provider_options(self.task)

    def with_options(self, ours: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a request's fields: `ours`, the caller's options beside them, and `defaults` for absent names.

        Raises GatewayError UNSUPPORTED_PARAMETER for an option that `ours` holds.
        """
        return reserved_options.merge(ours, self.options, defaults)

    @property
    def is_resized(self) -> bool:
        """Return whether an edit requests a size other than the allowed one nearest to the first input's."""
        if not (self.inputs and self.task.width):
            return False
        first, sizes = self.inputs[0], self.model.sizes_for(edit=True)
        return (self.task.width, self.task.height) != sizes.nearest(first.width, first.height)

    def warn(self, code: str, param: str, message: str) -> None:
        """Add a warning for a requested option that the provider does not honour exactly."""
        self.warnings.append(PbWarning(code=code, param=param, message=message))


def provider_options(task: pb.ImageTask) -> dict[str, Any]:
    """Return a task's provider options, with whole numbers as ints: protobuf's Struct holds doubles only."""
    if not task.HasField("provider_options"):
        return {}
    return {name: _plain(value) for name, value in MessageToDict(task.provider_options).items()}


_EXACT: Final = 2**53
"""Largest whole number up to which doubles hold every one."""


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float() if value.is_integer() and abs(value) <= _EXACT:
            return int(value)
    return value
