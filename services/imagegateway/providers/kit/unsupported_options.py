"""Warnings of adapters for what a caller asked for and the model has not: given as the request is made, so that
strict handling can refuse by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegateway.providers.kit.adapter import Call


def fields(call: Call, *names: str) -> None:
    """Warn of the text fields among `names` that the caller set to anything but `auto`."""
    for name in names:
        if getattr(call.task, name) not in {"", "auto"}:
            call.warn("unsupported_parameter", name, f"{call.model.id} takes no {name}; it was ignored.")


def size(call: Call) -> None:
    """Warn of a size or a shape other than the input's, for operations that keep it."""
    task = call.task
    if not task.inputs or not task.width:
        return
    first = task.inputs[0]
    if task.aspect_ratio:
        # What came of the ratio is about the model's usual area, so only the shape can be compared.
        kept = abs(task.width * first.height / (task.height * first.width) - 1) < 0.01
    else:
        kept = (task.width, task.height) == (first.width, first.height)
    if not kept:
        call.warn(
            "size_adjusted",
            "aspect_ratio" if task.aspect_ratio else "size",
            f"{call.model.id} keeps the shape of the image that it edits, {first.width}x{first.height}.",
        )
