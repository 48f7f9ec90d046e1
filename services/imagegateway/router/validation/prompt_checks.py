"""Checks of the prompts, the seed and the number of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import invalid, missing
from imagegateway.providers.catalog import Capability

if TYPE_CHECKING:
    from imagegateway.router.validation.draft import Draft

_MAX_SEED: Final = (1 << 32) - 1


def check_prompt(draft: Draft) -> None:
    """Set the prompt: 1 character up to the model's limit, optional for models that need none."""
    prompt, model = draft.request.prompt, draft.model
    if not prompt.strip():
        if model.prompt_required:
            raise missing("prompt", "prompt is required: say what to show.")
        return
    if len(prompt) > model.max_prompt_length:
        raise invalid(
            "prompt",
            f"prompt has {len(prompt)} characters; {model.id} takes up to {model.max_prompt_length}.",
        )
    draft.task.prompt = prompt


def check_image_count(draft: Draft) -> None:
    """Set the number of images: 1 up to the model's limit, default 1."""
    n = draft.request.n if draft.request.HasField("n") else 1
    if not 1 <= n <= draft.model.max_n:
        raise invalid("n", f"n must be from 1 to {draft.model.max_n} for {draft.model.id}, not {n}.")
    draft.task.n = n


def check_seed(draft: Draft) -> None:
    """Set the seed, 0 to 4294967295. Warn where the model takes none."""
    request = draft.request
    if not request.HasField("seed"):
        return
    if not 0 <= request.seed <= _MAX_SEED:
        raise invalid("seed", f"seed must be from 0 to {_MAX_SEED}.")
    if draft.model.supports(Capability.SEED):
        draft.task.seed = request.seed
    else:
        draft.warnings.add_unsupported("seed", f"{draft.model.id} takes no seed.")


def check_negative_prompt(draft: Draft) -> None:
    """Set the negative prompt, with the length limit of the prompt. Warn where the model takes none."""
    text, model = draft.request.negative_prompt, draft.model
    if not text:
        return
    if len(text) > model.max_prompt_length:
        raise invalid("negative_prompt", f"negative_prompt is over {model.max_prompt_length} characters.")
    if model.supports(Capability.NEGATIVE_PROMPT):
        draft.task.negative_prompt = text
    else:
        draft.warnings.add_unsupported("negative_prompt", f"{model.id} has no negative prompt.")
