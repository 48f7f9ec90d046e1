"""Reserved provider options: names that the gateway sets itself, or by which it computes a price."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from imagegateway.platform.errors import unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imagegateway.platform.errors import GatewayError

_STEP: Final = re.compile(r"[.\[\]]+")
_IGNORED: Final = str.maketrans("", "", "_- ")
Path = tuple[str, ...]


def _normal(name: str) -> str:
    """Return a name without case and separators: providers accept `sampleCount` for `sample_count`."""
    return name.lower().translate(_IGNORED)


def _path(name: str) -> Path:
    """Return the steps of a name that may be a flattened path, such as `a.b` or `a[0][b]`, without indexes."""
    return tuple(_normal(step) for step in _STEP.split(name) if step and not step.isdecimal())


def paths(*names: str) -> frozenset[Path]:
    """Return reserved names as data for a route; `a.b` is the name `b` inside the object `a`."""
    return frozenset(map(_path, names))


COMMON: Final = paths(
    *("model", "prompt", "negative_prompt", "n", "seed", "user", "safety_identifier"),
    *("size", "width", "height", "aspect_ratio", "quality", "style", "background", "moderation"),
    *("output_format", "output_compression", "response_format", "stream", "partial_images", "input_fidelity"),
    *("image", "images", "image_url", "image_urls", "mask", "mask_url", "markup", "markup_url", "loras"),
    *("seconds", "fps", "complexity", "svg", "frame_count", "frame_duration_ms"),
    *("webhook", "webhook_url", "webhook_secret", "webhook_events_filter", "callback_url"),
)
"""Names reserved on every route: the gateway's own request fields, and options that send results elsewhere."""


def check(options: Mapping[str, Any], reserved: frozenset[Path]) -> None:
    """Raise GatewayError UNSUPPORTED_PARAMETER for the first of a caller's options that is reserved.

    An option that would replace an object with a reserved name is reserved, too.
    """
    if not options:
        return
    taken = COMMON | reserved
    for spelled, path, leaf in _walk(options):
        for known in taken:
            if path[: len(known)] == known or (leaf and known[: len(path)] == path):
                raise _reserved_error(spelled)


def merge(
    ours: Mapping[str, Any], options: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a request's body: the gateway's fields and the caller's options beside them. Objects are merged.

    `defaults` are the gateway's choices that options may replace. Raises GatewayError UNSUPPORTED_PARAMETER for an
    option that the gateway has set in this request.
    """
    return _merged(ours, options, defaults or {}, "")


def _merged(
    ours: Mapping[str, Any], options: Mapping[str, Any], defaults: Mapping[str, Any], within: str
) -> dict[str, Any]:
    body = dict(defaults)
    for name, value in ours.items():
        default = defaults.get(name)
        nested = isinstance(value, dict) and isinstance(default, dict)
        body[name] = _merged(value, {}, default or {}, within) if nested else value
    if not options:
        return body
    spelled_as = {_normal(name): name for name in body}
    for given, value in options.items():
        name = spelled_as.get(_normal(given), given)
        known, where = body.get(name), f"{within}{given}"
        if isinstance(known, dict) and isinstance(value, dict):
            default = defaults.get(name)
            body[name] = _merged(ours.get(name, {}), value, default if isinstance(default, dict) else {}, f"{where}.")
        elif name in ours:
            raise _reserved_error(where)
        else:
            body[name] = value
    return body


def _walk(options: Mapping[str, Any], within: str = "", path: Path = ()) -> Iterator[tuple[str, Path, bool]]:
    """Yield each option as the caller spelled it, its normalised path, and whether it is a leaf."""
    for name, value in options.items():
        spelled, here = f"{within}{name}", (*path, *_path(name))
        yield spelled, here, not isinstance(value, dict)
        if isinstance(value, dict):
            yield from _walk(value, f"{spelled}.", here)


def _reserved_error(name: str) -> GatewayError:
    return unsupported(
        f"provider_options.{name[:100]}",
        f"provider_options.{name[:100]} is set by the gateway: options go beside its own fields and replace none.",
    )
