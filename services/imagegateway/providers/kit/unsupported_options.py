"""Warnings for requested options that a model does not support.

Adapters add them while they make the request, so that strict handling can refuse before anything is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegateway.providers.kit.call import Call


def warn_fields(call: Call, *names: str) -> None:
    """Warn of the text fields among `names` that the caller set to a value other than `auto`."""
    for name in names:
        if getattr(call.task, name) not in {"", "auto"}:
            call.warn("unsupported_parameter", name, f"{call.model.id} takes no {name}; it was ignored.")


def warn_size(call: Call) -> None:
    """Warn of a size or an aspect ratio other than the input's, for operations that keep the input's."""
    task = call.task
    if not task.inputs or not task.width:
        return
    first = task.inputs[0]
    if task.aspect_ratio:
        # A size from an aspect ratio has about the model's usual area, so only the ratios can be compared.
        is_kept = abs(task.width * first.height / (task.height * first.width) - 1) < 0.01
    else:
        is_kept = (task.width, task.height) == (first.width, first.height)
    if not is_kept:
        call.warn(
            "size_adjusted",
            "aspect_ratio" if task.aspect_ratio else "size",
            f"{call.model.id} keeps the shape of the image that it edits, {first.width}x{first.height}.",
        )
