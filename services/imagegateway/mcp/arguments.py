"""Arguments of the tools: names, types, ranges and descriptions, as models read them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from imagegateway.platform import ids
from pydantic import BaseModel, ConfigDict, Field, ValidationError

DEFAULT_WAIT_SECONDS: Final = 50.0
"""Below 60 s, the timeout of many clients."""
MAX_WAIT_SECONDS: Final = 600.0

_JobId = Annotated[
    str, Field(pattern=f"^{ids.JOB_PATTERN}$", description="Id of a job, such as another tool returned.")
]
_WaitSeconds = Annotated[
    float,
    Field(
        ge=0,
        le=MAX_WAIT_SECONDS,
        description=(
            "Longest wait for the result in seconds. A longer job goes on: wait_for_job continues the wait."
        ),
    ),
]


class Arguments(BaseModel):
    """Arguments of one tool. Unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _JobArguments(Arguments):
    """Options that every tool has which makes a job."""

    model: Annotated[
        str | None,
        Field(pattern="^[!-~]+$", description="Model id from list_models. Default: the gateway's default model."),
    ] = None
    aspect_ratio: Annotated[
        str | None,
        Field(
            pattern="^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$",
            description="Aspect ratio such as 16:9. Not together with size.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        Field(ge=0, le=4_294_967_295, description="The same seed makes the same result where the model can."),
    ] = None
    negative_prompt: Annotated[
        str | None,
        Field(min_length=1, description="Description of what the image must not show, for models that take one."),
    ] = None
    provider_options: Annotated[
        dict[str, Any] | None, Field(description="Further fields of the provider's own API, for experts.")
    ] = None
    wait_seconds: _WaitSeconds = DEFAULT_WAIT_SECONDS
    idempotency_key: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=255,
            pattern="^[!-~]+$",
            description=(
                "Any text. A repeated call with the same value and arguments returns the same job and "
                "costs nothing. Use a new value for a new result."
            ),
        ),
    ] = None

    def request(self) -> dict[str, Any]:
        """Return the fields of the API's request."""
        return self.model_dump(exclude_none=True, exclude={"wait_seconds", "idempotency_key", "images", "mask"})


class _ImageArguments(_JobArguments):
    """Options of generated and edited images."""

    n: Annotated[int | None, Field(ge=1, le=10, description="Number of images, 1 by default.")] = None
    size: Annotated[
        str | None,
        Field(
            pattern="^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$",
            description="Size in pixels such as 1024x1024, or auto. The nearest size that the model makes counts.",
        ),
    ] = None
    quality: Annotated[
        Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] | None,
        Field(description="Quality, for models with a choice. A higher one costs more."),
    ] = None
    background: Annotated[
        Literal["auto", "transparent", "opaque"] | None,
        Field(description="Background. Only some models can make a transparent one."),
    ] = None
    output_format: Annotated[
        Literal["png", "jpeg", "webp", "gif", "svg"] | None,
        Field(description="File format; gif and svg for models that list them. Default: the model's own."),
    ] = None


class GenerateImage(_ImageArguments):
    """Arguments of generate_image."""

    prompt: Annotated[str, Field(min_length=1, description="Description of the image.")]


class EditImage(_ImageArguments):
    """Arguments of edit_image."""

    prompt: Annotated[
        str | None,
        Field(min_length=1, description="Description of the change. Erasers and background models need none."),
    ] = None
    images: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        Field(
            min_length=1,
            max_length=16,
            description=(
                "Images to edit, each one of: the job id of an earlier result (with /1 behind it for its second "
                "image), an https URL, a data URL of a PNG, JPEG or WebP; and, where this server runs on the user's "
                "machine, the path of a file."
            ),
        ),
    ]
    mask: Annotated[
        str | None,
        Field(
            min_length=1,
            description=(
                "Mask: an image in the forms of `images`, with the size of the first image. Transparent pixels are "
                "edited; without an alpha channel, white ones."
            ),
        ),
    ] = None


class GenerateVideo(_JobArguments):
    """Arguments of generate_video."""

    prompt: Annotated[str, Field(min_length=1, description="Description of the video.")]
    size: Annotated[
        str | None,
        Field(pattern="^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$", description="Size in pixels such as 1280x720."),
    ] = None
    seconds: Annotated[float | None, Field(gt=0, description="Duration in seconds, within the model's limits.")] = (
        None
    )
    fps: Annotated[int | None, Field(ge=1, description="Frames per second, within the model's limits.")] = None


class JobArguments(Arguments):
    """Arguments of get_job and cancel_job."""

    job_id: _JobId


class WaitForJob(Arguments):
    """Arguments of wait_for_job."""

    job_id: _JobId
    wait_seconds: _WaitSeconds = DEFAULT_WAIT_SECONDS


class ListModels(Arguments):
    """Arguments of list_models."""

    modality: Annotated[Literal["image", "video"] | None, Field(description="Only models that make these.")] = None
    capability: Annotated[
        Literal[
            "text_to_image",
            "image_to_image",
            "mask",
            "seed",
            "negative_prompt",
            "transparent_background",
            "text_to_video",
        ]
        | None,
        Field(description="Only models with this capability; image_to_image means that edit_image takes the model."),
    ] = None
    only_available: Annotated[
        bool, Field(description="Leave out models that need a provider key which the gateway lacks.")
    ] = True


_PROBLEMS: Final = {
    "extra_forbidden": "is no argument of this tool",
    "missing": "is required",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "does not have the form that its description states",
}
"""Words for pydantic's types of errors. Other types keep pydantic's message."""


def sentence(error: ValidationError) -> str:
    """Return the first problem of rejected arguments in one sentence that names the argument."""
    first = error.errors(include_url=False, include_input=False)[0]
    name = "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in first["loc"])
    problem = _PROBLEMS.get(first["type"])
    if problem is None:
        return f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}."
    return f"{name} {problem.format(**first.get('ctx', {}))}."
