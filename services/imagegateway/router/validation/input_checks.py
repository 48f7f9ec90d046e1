"""Checks of the guides of an edit, mask and markup, against the model. Their content is checked in `input_images`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.platform.errors import invalid
from imagegateway.providers.catalog import Capability

if TYPE_CHECKING:
    from imagegateway.router.validation.draft import Draft


def check_mask_and_markup(draft: Draft) -> None:
    """Warn of a mask or a markup that the model ignores. Refuse both at once."""
    model = draft.model
    if draft.has_mask and draft.has_markup and model.supports(Capability.MARKUP):
        raise invalid("markup", "Send mask or markup, not both.")
    if draft.has_mask and not model.supports(Capability.MASK):
        draft.warnings.add("mask_ignored", "mask", f"{model.id} has no masks: the whole image may change.")
    if draft.has_markup and not model.supports(Capability.MARKUP):
        draft.warnings.add_unsupported("markup", f"{model.id} takes no markup; it was ignored.")
