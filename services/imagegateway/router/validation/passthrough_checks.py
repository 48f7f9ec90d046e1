"""Checks of fields that the gateway keeps or passes on: end-user ids, metadata, provider options; unknown fields."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import invalid, unsupported
from imagegateway.providers.catalog import Capability
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.kit.call import provider_options
from imagegateway.router.validation.value_checks import MAX_TEXT, checked_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.struct_pb2 import Value
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.providers.catalog import Route
    from imagegateway.router.validation.draft import Draft, Request

_MAX_METADATA: Final = 16
_MAX_METADATA_KEY: Final = 64
_EDIT_INPUT: Final = re.compile(r"(?:images?|mask|markup)(?:_url|_content)?(?:$|\[)")
"""Names of an edit's inputs, bracketed or not: on a generation they would change the meaning of the request."""


def check_unknown_fields(draft: Draft) -> None:
    """Warn of fields that do not exist. Refuse an edit's inputs on a generation."""
    for name in draft.unknown:
        shown = name[:100]
        if not draft.is_edit and _EDIT_INPUT.match(name):
            raise unsupported(shown, f"{shown} is a field of edits: send it to /v1/images/edits.")
        draft.warnings.add("unknown_parameter", shown, f"There is no field {shown!r}; it was ignored.")


def check_end_user(draft: Draft) -> None:
    """Set the end user's id: `safety_identifier`, else `user`. Warn where the model takes no safety identifier."""
    request, task = draft.request, draft.task
    user = checked_text(request.user, "user")
    task.safety_identifier = checked_text(request.safety_identifier, "safety_identifier")
    task.user = task.safety_identifier or user
    if task.safety_identifier and not draft.model.supports(Capability.SAFETY_IDENTIFIER):
        message = f"{draft.model.id} takes no safety identifier; it is kept on the job only."
        draft.warnings.add_unsupported("safety_identifier", message)


def check_provider_options(draft: Draft) -> None:
    """Set the provider options. Refuse NaN and infinities, because JSON has no such numbers."""
    request = draft.request
    if not request.HasField("provider_options"):
        return
    pending: list[tuple[str, Value]] = [
        (f"provider_options.{name}", value) for name, value in request.provider_options.fields.items()
    ]
    while pending:
        path, value = pending.pop()
        if not math.isfinite(value.number_value):
            shown = path[:100]
            raise invalid(shown, f"{shown} must be a finite number.")
        pending += [(f"{path}.{name}", inner) for name, inner in value.struct_value.fields.items()]
        pending += [(f"{path}[{index}]", inner) for index, inner in enumerate(value.list_value.values)]
    draft.task.provider_options.CopyFrom(request.provider_options)


def check_reserved_options(task: provider.ImageTask, routes: Sequence[Route]) -> None:
    """Refuse provider options that would replace the gateway's own fields on any route that may serve the job."""
    for route in routes if task.HasField("provider_options") else ():
        reserved_options.check(provider_options(task), route.reserved_options)


def checked_metadata(request: Request) -> dict[str, str]:
    """Return the metadata: at most 16 pairs, keys of 1 to 64 and values of up to 512 characters."""
    pairs = dict(request.metadata)
    if len(pairs) > _MAX_METADATA:
        raise invalid("metadata", f"metadata has {len(pairs)} pairs; at most {_MAX_METADATA} are kept.")
    for key, value in pairs.items():
        if not 1 <= len(key) <= _MAX_METADATA_KEY:
            raise invalid("metadata", f"metadata keys have 1 to {_MAX_METADATA_KEY} characters.")
        if len(value) > MAX_TEXT:
            raise invalid(f"metadata.{key}", f"metadata values have at most {MAX_TEXT} characters.")
    return pairs
