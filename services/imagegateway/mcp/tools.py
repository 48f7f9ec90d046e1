"""The tools: what each one is called, takes, does and returns."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from imagegateway.mcp import arguments as args
from imagegateway.mcp.api import EDITS, GENERATIONS, VIDEOS, ApiError
from imagegateway.mcp.results import Job, Model, Models
from imagegateway.mcp.schemas import schema_of
from imagegateway.mcp.waiting import wait
from mcp_types import CallToolResult, TextContent, Tool, ToolAnnotations
from pydantic import ValidationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from imagegateway.mcp.api import GatewayApi
    from imagegateway.mcp.content import ResultContent
    from imagegateway.mcp.inputs import InputReader
    from imagegateway.mcp.waiting import Progress

INSTRUCTIONS: Final = (
    "Makes and edits images, and makes videos, with many models behind one gateway. Leave out `model` for the "
    "gateway's default; list_models shows the others. A result with the status queued or running is not lost: "
    "wait_for_job continues the wait. To edit an earlier result, pass its job id to edit_image."
)

_A = TypeVar("_A", bound=args.Arguments)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Context of one call of a tool."""

    api: GatewayApi
    inputs: InputReader
    progress: Progress
    results: ResultContent


@dataclass(frozen=True, slots=True)
class _Definition:
    tool: Tool
    arguments: type[args.Arguments]
    run: Callable[[ToolCall, Any], Awaitable[CallToolResult]]


async def _generate_image(call: ToolCall, given: args.GenerateImage) -> CallToolResult:
    return await _make(call, GENERATIONS, given.request(), given.idempotency_key, given.wait_seconds)


async def _edit_image(call: ToolCall, given: args.EditImage) -> CallToolResult:
    request = given.request()
    async with call.inputs.holding([*given.images, given.mask] if given.mask else given.images):
        request["images"] = [
            await call.inputs.url(image, f"images[{index}]") for index, image in enumerate(given.images)
        ]
        if given.mask:
            request["mask_url"] = await call.inputs.url(given.mask, "mask")
        job_id = await _submit(call, EDITS, request, given.idempotency_key)
        request.clear()  # the wait would hold the images
    return await _wait(call, job_id, given.wait_seconds)


async def _generate_video(call: ToolCall, given: args.GenerateVideo) -> CallToolResult:
    return await _make(call, VIDEOS, given.request(), given.idempotency_key, given.wait_seconds)


async def _make(
    call: ToolCall, path: str, request: dict[str, Any], idempotency_key: str | None, seconds: float
) -> CallToolResult:
    """Start a job and wait for its end."""
    return await _wait(call, await _submit(call, path, request, idempotency_key), seconds)


async def _submit(call: ToolCall, path: str, request: dict[str, Any], idempotency_key: str | None) -> str:
    """Start a job and return its id."""
    return await call.api.submit(path, request, idempotency_key or uuid.uuid4().hex)


async def _wait_for_job(call: ToolCall, given: args.WaitForJob) -> CallToolResult:
    return await _wait(call, given.job_id, given.wait_seconds)


async def _wait(call: ToolCall, job_id: str, seconds: float) -> CallToolResult:
    job = Job.of(await wait(call.api, job_id, seconds, call.progress))
    return await call.results.of(job)


async def _get_job(call: ToolCall, given: args.JobArguments) -> CallToolResult:
    return _state(Job.of(await call.api.job(given.job_id)))


async def _cancel_job(call: ToolCall, given: args.JobArguments) -> CallToolResult:
    return _state(Job.of(await call.api.cancel(given.job_id)))


async def _list_models(call: ToolCall, given: args.ListModels) -> CallToolResult:
    models = [Model.of(model) for model in await call.api.models(given.modality)]
    return _state(
        Models(
            models=[
                model
                for model in models
                if (model.available or not given.only_available)
                and (given.capability is None or given.capability in model.capabilities)
            ]
        )
    )


def _state(result: Job | Models) -> CallToolResult:
    """Return a result without files."""
    text = TextContent(type="text", text=result.sentence())
    return CallToolResult(content=[text], structured_content=result.structured())


def _define(
    title: str,
    description: str,
    arguments: type[_A],
    run: Callable[[ToolCall, _A], Awaitable[CallToolResult]],
    output: type[Job | Models] = Job,
    *,
    reads: bool = False,
    destroys: bool = False,
) -> _Definition:
    """Return a tool's definition. Its name is that of its function."""
    tool = Tool(
        name=run.__name__.removeprefix("_"),
        title=title,
        description=description,
        input_schema=schema_of(arguments),
        output_schema=schema_of(output),
        annotations=ToolAnnotations(
            read_only_hint=reads,
            destructive_hint=destroys,
            idempotent_hint=reads or destroys,
            open_world_hint=not reads,
        ),
    )
    return _Definition(tool, arguments, cast("Callable[[ToolCall, Any], Awaitable[CallToolResult]]", run))


_DEFINITIONS: Final = (
    _define(
        "Generate an image",
        "Make one or more images from a prompt. Costs money with most models.",
        args.GenerateImage,
        _generate_image,
    ),
    _define(
        "Edit an image",
        "Change images by a prompt, inside a mask if there is one. Costs money with most models.",
        args.EditImage,
        _edit_image,
    ),
    _define(
        "Generate a video",
        "Make a video from a prompt. Takes minutes: expect to call wait_for_job. Costs money.",
        args.GenerateVideo,
        _generate_video,
    ),
    _define(
        "Wait for a job",
        "Wait until a job ends and return its images, or its state after wait_seconds.",
        args.WaitForJob,
        _wait_for_job,
        reads=True,
    ),
    _define(
        "Get a job",
        "Return the state of a job now: status, progress, files, cost.",
        args.JobArguments,
        _get_job,
        reads=True,
    ),
    _define(
        "Cancel a job",
        "Stop a job that is queued or running. An ended job stays as it is.",
        args.JobArguments,
        _cancel_job,
        destroys=True,
    ),
    _define(
        "List models",
        "List the models with capabilities, limits and the cost of a default request.",
        args.ListModels,
        _list_models,
        Models,
        reads=True,
    ),
)
_BY_NAME: Final[Mapping[str, _Definition]] = {definition.tool.name: definition for definition in _DEFINITIONS}
TOOLS: Final = tuple(definition.tool for definition in _DEFINITIONS)


async def run_tool(name: str, given: Mapping[str, Any], call: ToolCall) -> CallToolResult:
    """Run a tool by name. A failure is a result, too: one sentence that names the argument."""
    definition = _BY_NAME.get(name)
    if definition is None:
        return _failure(f"There is no tool {name}. The tools are {', '.join(_BY_NAME)}.")
    try:
        return await definition.run(call, definition.arguments.model_validate(given))
    except ValidationError as error:
        return _failure(args.sentence(error))
    except ApiError as error:
        return _failure(str(error))


def _failure(message: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=message)], is_error=True)
