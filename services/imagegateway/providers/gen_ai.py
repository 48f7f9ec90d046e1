"""Attributes of the spans of jobs, by OpenTelemetry's semantic conventions for generative AI.

The conventions are in development; these names are those beside version 1.41.1 of the general conventions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from imagegateway.platform.spans import Attribute
    from imagegateway.provider.v1 import provider_service_pb2 as pb

OPERATION: Final = "generate_content"
"""The conventions' only operation whose output may be images and videos; `gen_ai.output.type` distinguishes them."""
JOB_ID: Final = "imagegateway.job.id"
"""Attribute of the spans of a job, an own one."""
_PROVIDERS: Final = {"google": "gcp.gemini"}
"""Routes that the conventions know by another name."""


def request_attributes(task: pb.ImageTask, modality: str) -> dict[str, Attribute]:
    """Return the attributes of a task's request, without anything that callers wrote."""
    attributes: dict[str, Attribute] = {
        "gen_ai.operation.name": OPERATION,
        "gen_ai.provider.name": _PROVIDERS.get(task.route, task.route),
        "gen_ai.request.model": task.model,
        "gen_ai.output.type": modality,
    }
    if task.n > 1:
        attributes["gen_ai.request.choice.count"] = task.n
    return attributes


def response_attributes(state: pb.TaskState, native: str) -> dict[str, Attribute]:
    """Return the attributes of a response. `native`: the provider's name of the model."""
    if not state.HasField("done"):
        return {}
    usage = state.done.usage
    tokens = {"input": usage.input_tokens, "output": usage.output_tokens}
    return {
        "gen_ai.response.model": native,
        **{f"gen_ai.usage.{kind}_tokens": count for kind, count in tokens.items() if count},
    }
