"""Fields of requests as options: each API field has one, and the provider decides what a model takes."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final

from cyclopts import Group, Parameter
from imagegateway.cli.source import checked_source

_MODEL: Final = Group("What to make", sort_key=1)
_LOOK: Final = Group("How it looks", sort_key=2)
_ACCOUNT: Final = Group("Accounts and notes", sort_key=4)
_HTTP: Final = ("http://", "https://")


class FieldError(ValueError):
    """An option's text is malformed. The message names the option."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class JobFields:
    """Fields of every request, by their API names."""

    model: Annotated[
        str | None, Parameter(("--model", "-m"), group=_MODEL, help="Model id or alias: `imagegateway models`.")
    ] = None
    n: Annotated[int | None, Parameter(("--n", "-n"), group=_MODEL, help="Number of results, 1 to 10.")] = None
    size: Annotated[
        str | None, Parameter(("--size", "-s"), group=_MODEL, help="<width>x<height> in pixels, or auto.")
    ] = None
    aspect_ratio: Annotated[
        str | None, Parameter(group=_MODEL, help="<w>:<h>, such as 16:9; not together with --size.")
    ] = None
    seed: Annotated[int | None, Parameter(group=_MODEL, help="The same seed makes the same image again.")] = None
    negative_prompt: Annotated[str | None, Parameter(group=_LOOK, help="Content that the image must not show.")] = (
        None
    )
    loras: Annotated[
        tuple[str, ...],
        Parameter("--lora", group=_LOOK, metavar="URL|ID@SCALE", help="LoRA weights; needs --byok. Repeatable."),
    ] = ()
    provider_options: Annotated[
        tuple[str, ...],
        Parameter(
            "--option",
            group=_LOOK,
            metavar="NAME=VALUE",
            help="Further field of the provider's API, such as steps=30; VALUE is JSON or text. Repeatable.",
        ),
    ] = ()
    byok: Annotated[
        tuple[str, ...],
        Parameter(
            group=_ACCOUNT,
            metavar="ROUTE=KEY",
            help="Your own provider key; else IMAGEGATEWAY_BYOK, which others on this machine can't see. Repeatable.",
        ),
    ] = ()
    user: Annotated[str | None, Parameter(group=_ACCOUNT, help="Id of the end user.")] = None
    safety_identifier: Annotated[
        str | None, Parameter(group=_ACCOUNT, help="Stable id of the end user, returned in the response.")
    ] = None
    metadata: Annotated[
        tuple[str, ...],
        Parameter(group=_ACCOUNT, metavar="NAME=VALUE", help="Note on the job. Repeatable, at most 16."),
    ] = ()
    webhook_url: Annotated[str | None, Parameter(group=_ACCOUNT, help="https URL, called when the job ends.")] = None

    def body(self) -> dict[str, Any]:
        """Return the request's fields without those that are unset. Raises FieldError."""
        given = {
            field.name: value
            for field in fields(self)
            if field.name not in {"byok", "loras", "metadata", "provider_options"}
            and (value := getattr(self, field.name)) is not None
        }
        if self.loras:
            given["loras"] = [_lora(text) for text in self.loras]
        if self.metadata:
            given["metadata"] = dict(_pair("--metadata", text) for text in self.metadata)
        if self.provider_options:
            pairs = [_pair("--option", text) for text in self.provider_options]
            given["provider_options"] = {name: _value(text) for name, text in pairs}
        return given

    def headers(self) -> dict[str, str]:
        """Return the headers of the caller's own provider keys. Raises FieldError, without the key."""
        headers = {}
        for text in self.byok or checked_source().secret("BYOK").reveal().split():
            route, separator, key = text.partition("=")
            if not (separator and key.isascii() and key.isprintable() and route.replace("-", "").isalnum()):
                raise FieldError("--byok takes ROUTE=KEY, such as fal=$FAL_KEY")
            headers[f"x-byok-{route.lower()}"] = key
        return headers


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ImageFields(JobFields):
    """Fields of requests for images."""

    quality: Annotated[str | None, Parameter(group=_LOOK, help="low, medium, high, … by model.")] = None
    style: Annotated[str | None, Parameter(group=_LOOK, help="vivid, natural, or a style of the model.")] = None
    background: Annotated[str | None, Parameter(group=_LOOK, help="transparent, opaque or auto.")] = None
    output_format: Annotated[
        str | None,
        Parameter("--format", group=_LOOK, help="png, jpeg or webp, and gif or svg by model. Default: of --output."),
    ] = None
    output_compression: Annotated[
        int | None, Parameter("--compression", group=_LOOK, help="Quality of jpeg and webp, 0 to 100.")
    ] = None
    complexity: Annotated[str | None, Parameter(group=_LOOK, help="low, medium or high, by model.")] = None
    moderation: Annotated[str | None, Parameter(group=_LOOK, help="auto or low, by model.")] = None
    frame_count: Annotated[int | None, Parameter(group=_LOOK, help="Frames of a GIF, 2 to 16.")] = None
    frame_duration_ms: Annotated[int | None, Parameter(group=_LOOK, help="Milliseconds of each frame of a GIF.")] = (
        None
    )
    svg_model: Annotated[str | None, Parameter(group=_LOOK, help="Text model that writes an SVG.")] = None
    svg_effort: Annotated[str | None, Parameter(group=_LOOK, help="Reasoning effort of that model.")] = None

    def body(self) -> dict[str, Any]:
        given = super().body()
        model, effort = given.pop("svg_model", None), given.pop("svg_effort", None)
        if model or effort:
            given["svg"] = {"model": model, "reasoning": {"effort": effort} if effort else None}
        return given


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class EditFields(ImageFields):
    """Fields of edits."""

    input_fidelity: Annotated[str | None, Parameter(group=_LOOK, help="Fidelity to the input: high or low.")] = None
    strength: Annotated[
        float | None, Parameter(group=_LOOK, help="Distance of the result from the input, 0 to 1, by model.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class VideoFields(JobFields):
    """Fields of videos."""

    seconds: Annotated[float | None, Parameter(group=_MODEL, help="Length in seconds, by model.")] = None
    fps: Annotated[int | None, Parameter(group=_MODEL, help="Frames per second, by model.")] = None


def _pair(option: str, text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise FieldError(f"{option} takes NAME=VALUE, not {text!r}")
    return name, value


def _value(text: str) -> Any:
    """Return a JSON value, or the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _lora(text: str) -> dict[str, Any]:
    source, _, scale = text.rpartition("@")
    try:
        strength: float | None = float(scale)
    except ValueError:
        strength = None
    if strength is None or not source:
        source, strength = text, None
    named = {"url" if source.startswith(_HTTP) else "id": source}
    return named if strength is None else {**named, "scale": strength}
