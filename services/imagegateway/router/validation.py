"""From a request to a task: every field checked against the catalog, nothing dropped or clamped in silence.

What changes the meaning is refused; what is a mere setting becomes a warning, or an error under
`Prefer: handling=strict`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from imagegateway.outbound.url_guard import Guard, UrlRefusedError
from imagegateway.platform.errors import GatewayError, invalid, missing, unsupported
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.providers.catalog import Capability, Mode, Model, Route
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.kit.adapter import provider_options
from imagegateway.router import output_options, sizes, value_checks
from imagegateway.router.value_checks import Warnings
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from google.protobuf.struct_pb2 import Value
    from imagegateway.router.call_context import Preferences
    from imagegateway.router.catalog import Catalog
    from imagegateway.v1.job_pb2 import Warning as PbWarning

Request = pb.GenerateRequest | pb.EditRequest

_QUALITIES: Final = ("auto", "low", "medium", "high", "xhigh", "max", "standard", "hd")
_MAX_METADATA: Final = 16
_MAX_METADATA_KEY: Final = 64
_NOTHING_STORED: Final[Mapping[str, bytes]] = MappingProxyType({})
_INPUTS: Final = re.compile(r"(?:images?|mask|markup)(?:_url|_content)?(?:$|\[)")
"""Names of an edit's inputs, bracketed or not: on a generation they would change what is asked for."""
_LORA_HOSTS: Final = Guard(())
"""The provider fetches LoRAs: no host of the operator's own is meant."""


def _avoid_none(_model: str, _route: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked request, ready to run."""

    model: Model
    route: Route
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
        return self.model.sizes_for(edit=self.edit).default

    @property
    def inline(self) -> bool:
        """Whether callers wait for the answer by default."""
        return self.route.mode == Mode.INLINE

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
    has_markup: bool = False,
    byok: Collection[str] = (),
    stored: Mapping[str, bytes] = _NOTHING_STORED,
    avoid: Callable[[str, str], bool] = _avoid_none,
    unknown: Sequence[str] = (),
) -> Plan:
    """Check a request.

    Inputs, mask and markup are checked apart (`input_images`). `unknown` names what a form or a JSON body
    sent and no field takes; `byok` the routes that the caller brings keys for; `stored` the tenant's own keys as in
    `Plan`; `avoid` tells of a model and a route whether that is set aside.

    Raises GatewayError naming the first field that is wrong.
    """
    edit = isinstance(request, pb.EditRequest)
    warnings = Warnings(strict=preferences.strict)
    model = _model(request, catalog, default_model, warnings, byok=byok, stored=stored)
    _capable(model, catalog, edit=edit)
    _unknown(unknown, warnings, edit=edit)
    task = provider.ImageTask(
        model=model.id,
        prompt=_prompt(request, model),
        n=_count(request, model),
        strict=preferences.strict,
    )
    _end_user(request, model, task, warnings)
    sizes.choose(request, model, task, warnings)
    _look(request, model, task, warnings)
    _steering(request, model, task, warnings)
    output_options.choose(request, model, task, warnings, has_mask=has_mask)
    _loras(request, model, task, own=bool(byok) or any(route.name in stored for route in model.routes))
    _video(request, model, task)
    if model.retired_at:
        warnings.note("model_retired", "model", _retired(model))
    stream = output_options.stream(request, model, task, warnings)
    _guides(model, warnings, has_mask=has_mask, has_markup=has_markup)
    _options(request, task)
    route = catalog.route(model, byok, partial(avoid, model.id), stored, own=bool(task.loras))
    task.route = route.name
    _reserved(task, (route,) if byok else (route, *model.routes_after(route.name)))
    return Plan(
        model=model,
        route=route,
        task=task,
        warnings=tuple(warnings.found),
        b64_json=_b64_json(request, model),
        stream=stream,
        metadata=_metadata(request),
        webhook_url=request.webhook_url,
        edit=edit,
        stored=_NOTHING_STORED if byok else stored,
    )


def _model(
    request: Request,
    catalog: Catalog,
    default_model: str,
    warnings: Warnings,
    *,
    byok: Collection[str],
    stored: Collection[str],
) -> Model:
    """Return the model that a request names, else the default or, with a warning, the one that stands in for it."""
    model = catalog.resolve(request.model or default_model)
    if request.model or byok or warnings.strict:
        return model
    stand_in = catalog.stand_in(model, stored)
    if stand_in is not model:
        reason = catalog.unavailable(model, stored)
        what = f"{reason} No model was named, so {stand_in.id} serves instead of this default."
        warnings.note("default_model_unavailable", "model", what)
    return stand_in


def _unknown(names: Sequence[str], warnings: Warnings, *, edit: bool) -> None:
    """Warn of fields that do not exist. Raises GatewayError for inputs of an edit on a generation."""
    for name in names:
        shown = name[:100]
        if not edit and _INPUTS.match(name):
            raise unsupported(shown, f"{shown} is a field of edits: send it to /v1/images/edits.")
        warnings.add("unknown_parameter", shown, f"There is no field {shown!r}; it was ignored.")


def _b64_json(request: Request, model: Model) -> bool:
    """Return whether the answer carries the images' bytes."""
    # OpenAI's streams carry bytes, and so do answers under its own model names: its clients read nothing else.
    bytes_by_default = request.stream or request.model.lower() in model.base64_aliases
    default = "b64_json" if bytes_by_default else "url"
    return value_checks.choice(request.response_format, "response_format", ("url", "b64_json"), default) == "b64_json"


def _end_user(request: Request, model: Model, task: provider.ImageTask, warnings: Warnings) -> None:
    user = value_checks.text(request.user, "user")
    task.safety_identifier = value_checks.text(request.safety_identifier, "safety_identifier")
    task.user = task.safety_identifier or user
    if task.safety_identifier and not model.supports(Capability.SAFETY_IDENTIFIER):
        what = f"{model.id} takes no safety identifier; it is kept on the job only."
        warnings.add("unsupported_parameter", "safety_identifier", what)


def _guides(model: Model, warnings: Warnings, *, has_mask: bool, has_markup: bool) -> None:
    if has_mask and has_markup and model.supports(Capability.MARKUP):
        raise invalid("markup", "Send mask or markup, not both.")
    if has_mask and not model.supports(Capability.MASK):
        warnings.add("mask_ignored", "mask", f"{model.id} has no masks: the whole image may change.")
    if has_markup and not model.supports(Capability.MARKUP):
        warnings.add("unsupported_parameter", "markup", f"{model.id} takes no markup; it was ignored.")


def _options(request: Request, task: provider.ImageTask) -> None:
    """Pass `provider_options` on. Raises GatewayError for NaN and infinities, which no provider's JSON can hold."""
    if not request.HasField("provider_options"):
        return
    pending: list[tuple[str, Value]] = [
        (f"provider_options.{name}", value) for name, value in request.provider_options.fields.items()
    ]
    while pending:
        path, value = pending.pop()
        if not math.isfinite(value.number_value):
            shown = path[:100]
            raise invalid(shown, f"{shown} must be a finite number.")
        pending += [(f"{path}.{name}", inner) for name, inner in value.struct_value.fields.items()]
        pending += [(f"{path}[{index}]", inner) for index, inner in enumerate(value.list_value.values)]
    task.provider_options.CopyFrom(request.provider_options)


def _capable(model: Model, catalog: Catalog, *, edit: bool) -> None:
    if edit and not model.supports(Capability.IMAGE_TO_IMAGE):
        able = ", ".join(catalog.with_capability(Capability.IMAGE_TO_IMAGE))
        raise unsupported("model", f"{model.id} can't edit images. These can: {able}.")
    if not edit and not (model.supports(Capability.TEXT_TO_IMAGE) or model.supports(Capability.TEXT_TO_VIDEO)):
        raise unsupported("model", f"{model.id} edits images; send it to /v1/images/edits.")


def _prompt(request: Request, model: Model) -> str:
    prompt = request.prompt
    if not prompt.strip():
        if model.prompt_required:
            raise missing("prompt", "prompt is required: say what to show.")
        return ""
    if len(prompt) > model.max_prompt_length:
        raise invalid(
            "prompt",
            f"prompt has {len(prompt)} characters; {model.id} takes up to {model.max_prompt_length}.",
        )
    return prompt


def _count(request: Request, model: Model) -> int:
    n = request.n if request.HasField("n") else 1
    if not 1 <= n <= model.max_n:
        raise invalid("n", f"n must be from 1 to {model.max_n} for {model.id}, not {n}.")
    return n


def _reserved(task: provider.ImageTask, routes: Sequence[Route]) -> None:
    """Refuse options in the place of what the gateway sets on any route that may serve, before a job is made."""
    for route in routes if task.HasField("provider_options") else ():
        reserved_options.check(provider_options(task), route.reserved_options)


def _look(request: Request, model: Model, task: provider.ImageTask, warnings: Warnings) -> None:
    quality = value_checks.choice(request.quality, "quality", (*_QUALITIES, *model.qualities), "auto")
    if quality in model.qualities:
        task.quality = quality
    elif quality != "auto":
        warnings.add("unsupported_parameter", "quality", f"{model.id} has no quality {quality!r}.")
    style = value_checks.choice(request.style, "style", ("vivid", "natural", *model.styles))
    if style and (model.supports(Capability.STYLE) or style in model.styles):
        task.style = style
    elif style:
        known = f"no style {style!r}; its styles are {', '.join(model.styles)}" if model.styles else "no styles"
        warnings.add("unsupported_parameter", "style", f"{model.id} has {known}.")
    background = value_checks.choice(request.background, "background", ("auto", "transparent", "opaque"), "auto")
    if background == "transparent" and not model.supports(Capability.TRANSPARENT):
        # An opaque image is not what was asked for, and would be paid for.
        raise unsupported("background", f"{model.id} draws opaque backgrounds only.")
    if background != "auto":
        task.background = background
    complexity = value_checks.choice(request.complexity, "complexity", ("low", "medium", "high"))
    if complexity and model.supports(Capability.COMPLEXITY):
        task.complexity = complexity
    elif complexity:
        warnings.add("unsupported_parameter", "complexity", f"{model.id} has no complexity.")
    task.moderation = value_checks.choice(request.moderation, "moderation", ("auto", "low"))
    if isinstance(request, pb.EditRequest):
        task.input_fidelity = value_checks.choice(request.input_fidelity, "input_fidelity", ("high", "low"))


def _steering(request: Request, model: Model, task: provider.ImageTask, warnings: Warnings) -> None:
    if request.HasField("seed"):
        if not 0 <= request.seed < 1 << 32:
            raise invalid("seed", "seed must be from 0 to 4294967295.")
        if model.supports(Capability.SEED):
            task.seed = request.seed
        else:
            warnings.add("unsupported_parameter", "seed", f"{model.id} takes no seed.")
    if request.negative_prompt:
        if len(request.negative_prompt) > model.max_prompt_length:
            raise invalid("negative_prompt", f"negative_prompt is over {model.max_prompt_length} characters.")
        if model.supports(Capability.NEGATIVE_PROMPT):
            task.negative_prompt = request.negative_prompt
        else:
            warnings.add("unsupported_parameter", "negative_prompt", f"{model.id} has no negative prompt.")


def _loras(request: Request, model: Model, task: provider.ImageTask, *, own: bool) -> None:
    for index, lora in enumerate(request.loras):
        param = f"loras[{index}]"
        if not model.supports(Capability.LORA):
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


def _video(request: Request, model: Model, task: provider.ImageTask) -> None:
    if not model.supports(Capability.TEXT_TO_VIDEO):
        for name in ("seconds", "fps"):
            if request.HasField(name):
                raise unsupported(name, f"{name} is for text-to-video models; {model.id} makes images.")
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


def _retired(model: Model) -> str:
    successor = f" Its successor is {model.successor}." if model.successor else ""
    return f"{model.id}: its provider ends its service on {model.retired_at}.{successor}"


def _metadata(request: Request) -> dict[str, str]:
    pairs = dict(request.metadata)
    if len(pairs) > _MAX_METADATA:
        raise invalid("metadata", f"metadata has {len(pairs)} pairs; at most {_MAX_METADATA} are kept.")
    for key, value in pairs.items():
        if not 1 <= len(key) <= _MAX_METADATA_KEY:
            raise invalid("metadata", f"metadata keys have 1 to {_MAX_METADATA_KEY} characters.")
        if len(value) > value_checks.MAX_TEXT:
            raise invalid(f"metadata.{key}", f"metadata values have at most {value_checks.MAX_TEXT} characters.")
    return pairs


def no_stream_here(request: Request) -> None:
    """Refuse `stream` where the protocol can't: typed unary methods. Raises GatewayError."""
    if request.stream:
        raise GatewayError(
            unsupported("stream", "").reason,
            "stream must be the JSON value true, over REST; gRPC callers use StreamJob.",
            param="stream",
        )
