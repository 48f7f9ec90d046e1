"""Draft: a request under validation, and the provider task that its checks fill."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imagegateway.platform.errors import unsupported
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1.job_pb2 import Warning as PbWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.providers.catalog import Model

Request = pb.GenerateRequest | pb.EditRequest


@dataclass(slots=True)
class WarningList:
    """Warnings for requested options that a model does not support. Strict handling turns the first into an error."""

    strict: bool
    found: list[PbWarning] = field(default_factory=list)

    def add(self, code: str, param: str, message: str) -> None:
        """Add a warning. Raises GatewayError UNSUPPORTED_PARAMETER under strict handling."""
        if self.strict:
            raise unsupported(param, message)
        self.add_always(code, param, message)

    def add_unsupported(self, param: str, message: str) -> None:
        """Add a warning `unsupported_parameter`. Raises as `add` does."""
        self.add("unsupported_parameter", param, message)

    def add_always(self, code: str, param: str, message: str) -> None:
        """Add a warning that strict handling accepts, too."""
        self.found.append(PbWarning(code=code, message=message, param=param))


@dataclass(slots=True)
class Draft:
    """Request and model that the checks read; task and warnings that they fill."""

    request: Request
    model: Model
    task: provider.ImageTask
    warnings: WarningList
    unknown: Sequence[str] = ()
    """Names that a form or a JSON body sent and no field takes."""
    has_mask: bool = False
    has_markup: bool = False
    respond_async: bool = False
    """True for `Prefer: respond-async`: the caller follows the job."""
    has_caller_key: bool = False
    """True when the caller sent or stored a provider key for a route of the model."""

    @property
    def is_edit(self) -> bool:
        """Return True for an edit, False for a generation."""
        return isinstance(self.request, pb.EditRequest)
