"""Checks of the options that shape an image: quality, style, background, complexity, moderation, fidelity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import invalid, unsupported
from imagegateway.providers.catalog import Capability
from imagegateway.router.validation.value_checks import checked_choice
from imagegateway.v1 import image_service_pb2 as pb

if TYPE_CHECKING:
    from imagegateway.router.validation.draft import Draft

_QUALITIES: Final = ("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd")
OPENAI_STYLES: Final = ("vivid", "natural")
"""Styles of models with `Capability.STYLE`."""


def check_quality(draft: Draft) -> None:
    """Set the quality. Warn where the model does not have it."""
    model = draft.model
    quality = checked_choice(draft.request.quality, "quality", (*_QUALITIES, *model.qualities), "auto")
    if quality in model.qualities:
        draft.task.quality = quality
    elif quality != "auto":
        draft.warnings.add_unsupported("quality", f"{model.id} has no quality {quality!r}.")


def check_style(draft: Draft) -> None:
    """Set the style. Warn where the model does not have it."""
    model = draft.model
    style = checked_choice(draft.request.style, "style", (*OPENAI_STYLES, *model.styles))
    if style and (model.supports(Capability.STYLE) or style in model.styles):
        draft.task.style = style
    elif style:
        known = f"no style {style!r}; its styles are {', '.join(model.styles)}" if model.styles else "no styles"
        draft.warnings.add_unsupported("style", f"{model.id} has {known}.")


def check_background(draft: Draft) -> None:
    """Set the background. Refuse `transparent` where the model makes opaque images only."""
    background = checked_choice(draft.request.background, "background", ("auto", "transparent", "opaque"), "auto")
    if background == "transparent" and not draft.model.supports(Capability.TRANSPARENT):
        # A warning would not do: the caller would pay for an opaque image.
        raise unsupported("background", f"{draft.model.id} draws opaque backgrounds only.")
    if background != "auto":
        draft.task.background = background


def check_complexity(draft: Draft) -> None:
    """Set the complexity. Warn where the model lacks this option."""
    complexity = checked_choice(draft.request.complexity, "complexity", ("low", "medium", "high"))
    if complexity and draft.model.supports(Capability.COMPLEXITY):
        draft.task.complexity = complexity
    elif complexity:
        draft.warnings.add_unsupported("complexity", f"{draft.model.id} has no complexity.")


def check_moderation(draft: Draft) -> None:
    """Set the moderation level."""
    draft.task.moderation = checked_choice(draft.request.moderation, "moderation", ("auto", "low"))


def check_input_fidelity(draft: Draft) -> None:
    """Set an edit's input fidelity."""
    if isinstance(draft.request, pb.EditRequest):
        fidelity = checked_choice(draft.request.input_fidelity, "input_fidelity", ("high", "low"))
        draft.task.input_fidelity = fidelity


def check_strength(draft: Draft) -> None:
    """Set an edit's strength, 0 to 1. Warn where the model lacks this option."""
    request = draft.request
    if not isinstance(request, pb.EditRequest) or not request.HasField("strength"):
        return
    if not 0 <= request.strength <= 1:
        raise invalid("strength", "strength must be from 0 to 1.")
    if draft.model.supports(Capability.STRENGTH):
        draft.task.strength = request.strength
    else:
        draft.warnings.add_unsupported("strength", f"{draft.model.id} has no strength.")
