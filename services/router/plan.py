"""From a request to a task: every field checked against the catalog, nothing dropped or clamped in silence.

What changes the meaning is refused; what is a mere setting becomes a warning, or an error under
`Prefer: handling=strict`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason
from imagegateway.v1.job_pb2 import Warning as PbWarning

from services.common import catalog as c
from services.common import reserved
from services.common.adapter import options_of
from services.common.errors import GatewayError, invalid, missing, unsupported
from services.common.urlguard import Guard, UrlRefusedError
from services.router import sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from services.router.caller import Preferences
    from services.router.catalog import Catalog

Request = pb.GenerateRequest | pb.EditRequest

_FORMATS: Final = ("png", "jpeg", "webp")
_COMPRESSED: Final = ("jpeg", "webp")
_QUALITIES: Final = ("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd")
_MAX_METADATA: Final = 16
_MAX_METADATA_KEY: Final = 64
_MAX_TEXT: Final = 512
_NOTHING_STORED: Final[Mapping[str, bytes]] = MappingProxyType({})
_LORA_HOSTS: Final = Guard(())
"""The provider fetches LoRAs: no host of the operator's own is meant."""


@dataclass(slots=True)
class Warnings:
    """What the caller asked for and won't get exactly; under strict handling the first one is an error."""

    strict: bool
    found: list[PbWarning] = field(default_factory=list)

    def add(self, code: str, param: str, message: str) -> None:
        if self.strict:
            raise unsupported(param, message)
        self.found.append(PbWarning(code=code, message=message, param=param))


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked request, ready to run."""

    model: c.Model
    route: c.Route
    task: provider.ImageTask
    warnings: tuple[PbWarning, ...]
    b64_json: bool
    stream: bool
    metadata: dict[str, str]
    webhook_url: str
    edit: bool
    stored: Mapping[str, bytes]
    """The tenant's stored keys by route, encrypted, as they were when the route was chosen; empty where the caller
    brings a key along, which names the only route."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height that are asked for; where the caller left them to the model, its usual ones."""
        if self.task.width:
            return self.task.width, self.task.height
        return self.model.sizes_of(edit=self.edit).default

    @property
    def inline(self) -> bool:
        """Whether callers wait for the answer by default."""
        return self.route.mode == c.INLINE

    @property
    def type(self) -> str:
        if self.model.modality == "video":
            return "video.generation"
        return "image.edit" if self.edit else "image.generation"


def make(
    request: Request,
    catalog: Catalog,
    default_model: str,
    preferences: Preferences,
    *,
    has_mask: bool = False,
    byok: Collection[str] = (),
    stored: Mapping[str, bytes] = _NOTHING_STORED,
    avoid: Callable[[str], bool] = bool,
    unknown: Sequence[str] = (),
) -> Plan:
    """Check a request. Inputs and mask are checked apart (`services.router.intake`); `unknown` names what a
    form sent and no field takes; `byok` the routes that the caller brings keys for; `stored` the tenant's own keys
    as in `Plan`; `avoid` the routes set aside.

    Raises GatewayError naming the first field that is wrong.
    """
    edit = isinstance(request, pb.EditRequest)
    warnings = Warnings(strict=preferences.strict)
    model = catalog.resolve(request.model) if request.model else catalog.default(default_model, stored)
    _capable(model, catalog, edit=edit)
    for name in unknown:
        warnings.add("unknown_parameter", name[:100], f"There is no field {name[:100]!r}; it was ignored.")
    task = provider.ImageTask(
        model=model.id,
        prompt=_prompt(request, model),
        n=_count(request, model),
        user=_text(request.user, "user", _MAX_TEXT),
        strict=preferences.strict,
    )
    sizes.choose(request, model, task, warnings)
    _look(request, model, task, warnings)
    _steering(request, model, task, warnings)
    _format(request, model, task, warnings)
    _loras(request, model, task, own=bool(byok) or any(route.name in stored for route in model.routes))
    _video(request, model, task)
    if model.retired_at:
        warnings.found.append(_retired(model))
    stream = _stream(request, model, task, warnings)
    if has_mask and not model.can(c.MASK):
        warnings.add("mask_ignored", "mask", f"{model.id} has no masks: the whole picture may change.")
    if request.HasField("provider_options"):
        task.provider_options.CopyFrom(request.provider_options)
    route = catalog.route(model, byok, avoid, stored, own=bool(task.loras))
    task.route = route.name
    # Also those of the routes that a fallback may take: a caller hears of it now or never.
    for other in (route, *(() if byok else model.after(route.name))):
        reserved.refuse(options_of(task), other.reserved)
    return Plan(
        model=model,
        route=route,
        task=task,
        warnings=tuple(warnings.found),
        # OpenAI's streams carry bytes, so that is what a client which says nothing expects there.
        b64_json=_choice(
            request.response_format,
            "response_format",
            ("url", "b64_json"),
            "b64_json" if request.stream else "url",
        )
        == "b64_json",
        stream=stream,
        metadata=_metadata(request),
        webhook_url=request.webhook_url,
        edit=edit,
        stored=_NOTHING_STORED if byok else stored,
    )


def _capable(model: c.Model, catalog: Catalog, *, edit: bool) -> None:
    if edit and not model.can(c.IMAGE_TO_IMAGE):
        able = ", ".join(catalog.with_capability(c.IMAGE_TO_IMAGE))
        raise unsupported("model", f"{model.id} can't edit pictures. These can: {able}.")
    if not edit and not (model.can(c.TEXT_TO_IMAGE) or model.can(c.TEXT_TO_VIDEO)):
        raise unsupported("model", f"{model.id} edits pictures; send it to /v1/images/edits.")


def _prompt(request: Request, model: c.Model) -> str:
    prompt = request.prompt
    if not prompt.strip():
        if model.prompt_required:
            raise missing("prompt", "prompt is required: say what the picture should show.")
        return ""
    if len(prompt) > model.max_prompt_length:
        raise invalid(
            "prompt",
            f"prompt has {len(prompt)} characters; {model.id} takes up to {model.max_prompt_length}.",
        )
    return prompt


def _count(request: Request, model: c.Model) -> int:
    n = request.n if request.HasField("n") else 1
    if not 1 <= n <= model.max_n:
        raise invalid("n", f"n must be from 1 to {model.max_n} for {model.id}, not {n}.")
    return n


def _look(request: Request, model: c.Model, task: provider.ImageTask, warnings: Warnings) -> None:
    quality = request.quality
    if quality and quality != "auto":
        if quality not in (*_QUALITIES, *model.qualities):
            raise invalid("quality", f"quality must be one of {', '.join((*_QUALITIES, *model.qualities))}.")
        if quality in model.qualities:
            task.quality = quality
        else:
            warnings.add("unsupported_parameter", "quality", f"{model.id} has no quality {quality!r}.")
    style = _choice(request.style, "style", ("vivid", "natural", *model.styles), "")
    if style:
        if model.can(c.STYLE) or style in model.styles:
            task.style = style
        else:
            known = f"; its styles are {', '.join(model.styles)}" if model.styles else ""
            warnings.add("unsupported_parameter", "style", f"{model.id} has no style {style!r}{known}.")
    background = _choice(request.background, "background", ("auto", "transparent", "opaque"), "auto")
    if background == "transparent" and not model.can(c.TRANSPARENT):
        # An opaque picture is not what was asked for, and would be paid for.
        raise unsupported("background", f"{model.id} draws opaque backgrounds only.")
    if background != "auto":
        task.background = background
    task.moderation = _choice(request.moderation, "moderation", ("auto", "low"), "")
    if isinstance(request, pb.EditRequest):
        task.input_fidelity = _choice(request.input_fidelity, "input_fidelity", ("high", "low"), "")


def _steering(request: Request, model: c.Model, task: provider.ImageTask, warnings: Warnings) -> None:
    if request.HasField("seed"):
        if not 0 <= request.seed < 1 << 32:
            raise invalid("seed", "seed must be from 0 to 4294967295.")
        if model.can(c.SEED):
            task.seed = request.seed
        else:
            warnings.add("unsupported_parameter", "seed", f"{model.id} takes no seed.")
    if request.negative_prompt:
        if len(request.negative_prompt) > model.max_prompt_length:
            raise invalid("negative_prompt", f"negative_prompt is over {model.max_prompt_length} characters.")
        if model.can(c.NEGATIVE_PROMPT):
            task.negative_prompt = request.negative_prompt
        else:
            warnings.add("unsupported_parameter", "negative_prompt", f"{model.id} has no negative prompt.")


def _format(request: Request, model: c.Model, task: provider.ImageTask, warnings: Warnings) -> None:
    vector = ("svg",) if "svg" in model.output_formats else ()
    wanted = _choice(request.output_format, "output_format", (*_FORMATS, *vector), "")
    task.output_format = wanted
    if request.HasField("output_compression"):
        if not 0 <= request.output_compression <= 100:
            raise invalid("output_compression", "output_compression must be from 0 to 100.")
        made = wanted or model.output_formats[0]
        if made not in _COMPRESSED:
            warnings.add("unsupported_parameter", "output_compression", "output_compression is for jpeg and webp.")
        else:
            # Said aloud, so that whoever compresses knows what to make.
            task.output_format, task.output_compression = made, request.output_compression
    if task.background == "transparent" and wanted == "jpeg":
        raise invalid("background", "A transparent background needs output_format png or webp.")


def _loras(request: Request, model: c.Model, task: provider.ImageTask, *, own: bool) -> None:
    for index, lora in enumerate(request.loras):
        param = f"loras[{index}]"
        if not model.can(c.LORA):
            raise unsupported("loras", f"{model.id} loads no LoRAs.")
        if bool(lora.url) == bool(lora.id):
            raise invalid(param, "A LoRA needs either url or id.")
        if lora.HasField("scale") and not -4 <= lora.scale <= 4:
            raise invalid(f"{param}.scale", "scale must be from -4 to 4.")
        if not own:
            raise GatewayError(
                ErrorReason.ERROR_REASON_BYOK_REQUIRED,
                "LoRAs run on the caller's own provider account: send its key as X-BYOK-<route>, or store it with "
                "PUT /v1/provider-keys/<route>.",
                param="loras",
            )
        try:
            if lora.url:
                _LORA_HOSTS.parse(lora.url)
        except UrlRefusedError as error:
            raise invalid(f"{param}.url", f"{param}.url can't be used: {error.reason}.") from None
        task.loras.append(lora)


def _video(request: Request, model: c.Model, task: provider.ImageTask) -> None:
    if not model.can(c.TEXT_TO_VIDEO):
        for name in ("seconds", "fps"):
            if request.HasField(name):
                raise unsupported(name, f"{name} is for text-to-video models; {model.id} makes pictures.")
        return
    if request.HasField("seconds"):
        if not 0 < request.seconds < math.inf:
            raise invalid("seconds", "seconds must be more than 0.")
        if model.seconds and not model.seconds[0] <= request.seconds <= model.seconds[1]:
            raise invalid(
                "seconds", f"seconds must be from {model.seconds[0]:g} to {model.seconds[1]:g} for {model.id}."
            )
        task.seconds = request.seconds
    if request.HasField("fps"):
        if request.fps not in model.fps:
            rates = ", ".join(map(str, model.fps)) or "the model's own"
            raise invalid("fps", f"fps must be {rates} for {model.id}.")
        task.fps = request.fps


def _retired(model: c.Model) -> PbWarning:
    successor = f" Its successor is {model.successor}." if model.successor else ""
    return PbWarning(
        code="model_retired",
        message=f"{model.id}: {model.retired_at} is the end of its service by its provider.{successor}",
        param="model",
    )


def _stream(request: Request, model: c.Model, task: provider.ImageTask, warnings: Warnings) -> bool:
    partial = request.partial_images if request.HasField("partial_images") else 0
    if not 0 <= partial <= 3:
        raise invalid("partial_images", "partial_images must be from 0 to 3.")
    if not request.stream:
        if partial:
            warnings.add("unsupported_parameter", "partial_images", "partial_images needs stream.")
        return False
    if partial and not model.can(c.PARTIAL_IMAGES):
        warnings.add("unsupported_parameter", "partial_images", f"{model.id} sends no partial images.")
    else:
        task.partial_images = partial
    return True


def _metadata(request: Request) -> dict[str, str]:
    pairs = dict(request.metadata)
    if len(pairs) > _MAX_METADATA:
        raise invalid("metadata", f"metadata has {len(pairs)} pairs; at most {_MAX_METADATA} are kept.")
    for key, value in pairs.items():
        if not 1 <= len(key) <= _MAX_METADATA_KEY:
            raise invalid("metadata", f"metadata keys have 1 to {_MAX_METADATA_KEY} characters.")
        if len(value) > _MAX_TEXT:
            raise invalid(f"metadata.{key}", f"metadata values have at most {_MAX_TEXT} characters.")
    return pairs


def _text(value: str, param: str, longest: int) -> str:
    if len(value) > longest:
        raise invalid(param, f"{param} has at most {longest} characters.")
    return value


def _choice(value: str, param: str, choices: tuple[str, ...], default: str) -> str:
    if not value:
        return default
    if value not in choices:
        raise invalid(param, f"{param} must be one of {', '.join(choices)}, not {value[:40]!r}.")
    return value


def no_stream_here(request: Request) -> None:
    """Refuse `stream` where the protocol can't: typed unary methods. Raises GatewayError."""
    if request.stream:
        raise GatewayError(
            unsupported("stream", "").reason,
            "stream must be the JSON value true, over REST; gRPC callers use StreamJob.",
            param="stream",
        )
