"""Model catalog types: models and their routes as data. No code tests a model's name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypedDict

from imagegateway.platform.setting_source import PREFIX
from imagegateway.providers.sizes import parse_aspect_ratio

if TYPE_CHECKING:
    from datetime import date

    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.providers.pricing import Price
    from imagegateway.providers.sizes import Sizes


class Capability(StrEnum):
    """Capabilities of models, as the public catalog spells them."""

    TEXT_TO_IMAGE = "text_to_image"
    IMAGE_TO_IMAGE = "image_to_image"
    TEXT_TO_VIDEO = "text_to_video"
    MASK = "mask"
    MARKUP = "markup"
    LORA = "lora"
    SEED = "seed"
    NEGATIVE_PROMPT = "negative_prompt"
    PARTIAL_IMAGES = "partial_images"
    TRANSPARENT = "transparent_background"
    STYLE = "style"
    COMPLEXITY = "complexity"
    STRENGTH = "strength"
    SAFETY_IDENTIFIER = "safety_identifier"
    SVG_AUTHOR = "svg_author"


class Mode(StrEnum):
    """Default response of a model: its result (`inline`) or a job (`async`)."""

    INLINE = "inline"
    ASYNC = "async"


class Modality(StrEnum):
    """Kind of media that a model makes."""

    IMAGE = "image"
    VIDEO = "video"


def api_key_setting(route: str) -> str:
    """Return the name of the setting that holds the operator's key for a route, without the settings' prefix."""
    return f"{route.upper()}_API_KEY"


def base_url_setting(route: str) -> str:
    """Return the name of the setting that replaces a route's base URL, without the settings' prefix."""
    return f"{route.upper()}_BASE_URL"


@dataclass(frozen=True, slots=True)
class Route:
    """One provider API that serves a model."""

    name: str
    """Route name, as in `X-BYOK-<route>`."""
    mode: Mode
    native_id: str
    """The provider's name for the model."""
    required_settings: tuple[str, ...] = ()
    """Full names of the settings that the route requires, such as IMAGEGATEWAY_BFL_API_KEY."""
    idempotent: bool = False
    """Starting the same job twice costs nothing: an embedded model, or a provider that takes our job id."""
    concurrency: int | None = None
    """Most slots that the provider grants one key at once for this model; None: not documented."""
    images_per_slot: int = 1
    """Images of one call that share a slot: more than one where the provider counts requests, and a request makes
    several images."""
    shared_slots: bool = False
    """All keys share the slots: a server of the operator's own."""
    price: Price | None = None
    """None: no page of the provider states a price, and the provider reports at most a call's own cost."""
    max_images_per_call: int | None = None
    """Most images that one request makes, where the model differs from its route's other ones."""
    reserved_options: frozenset[tuple[str, ...]] = frozenset()
    """Names that `provider_options` may not hold, beside `imagegateway.providers.kit.reserved_options.COMMON`."""

    @property
    def api_key_setting(self) -> str:
        """Return the full name of the setting that holds the operator's key."""
        return PREFIX + api_key_setting(self.name)

    def slots(self, n: int) -> int:
        """Return the number of slots that a call for `n` images takes; 1 without a documented limit."""
        return 1 if self.concurrency is None else -(-n // self.images_per_slot)


@dataclass(frozen=True, slots=True)
class Model:
    """Catalog entry of one model."""

    id: str
    family: str
    description: str
    created: date
    source: str
    """The provider's page that states these facts; empty for our own models."""
    checked: date
    """Day on which that page was last read."""
    routes: tuple[Route, ...]
    """Routes in the order in which they are tried."""
    sizes: Sizes
    capabilities: frozenset[Capability]
    """Capabilities that every route has, so that any of them may serve."""
    modality: Modality = Modality.IMAGE
    aliases: tuple[str, ...] = ()
    max_prompt_length: int = 4000
    base64_aliases: frozenset[str] = frozenset()
    """Aliases, in lower case, under which responses carry bytes unless the caller asks for URLs: the clients that use
    these names read nothing else."""
    prompt_required: bool = True
    max_n: int = 10
    max_inputs: int = 0
    output_formats: tuple[str, ...] = ("png",)
    qualities: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    """The provider's own styles, as the provider spells them."""
    seconds: tuple[float, float] | None = None
    """Shortest and longest video, in seconds."""
    fps: tuple[int, ...] = ()
    """Frame rates that a caller may choose from."""
    retired_at: date | None = None
    successor: str = ""
    edit_sizes: Sizes | None = None
    """Sizes of edits, where they differ from those of images made from text."""

    def sizes_for(self, *, edit: bool) -> Sizes:
        """Return the sizes of edits, or of images made from text."""
        return self.edit_sizes or self.sizes if edit else self.sizes

    def output_size(self, task: provider.ImageTask) -> tuple[int, int]:
        """Return the size that a task requests, or the model's default; about the size that the model chooses."""
        sizes = self.sizes_for(edit=bool(task.inputs))
        if task.width:
            return task.width, task.height
        if task.aspect_ratio:
            return sizes.nearest(*parse_aspect_ratio(task.aspect_ratio))
        return sizes.default

    def route(self, name: str) -> Route:
        """Return the route of this name. Raises KeyError for a route that does not serve the model."""
        for route in self.routes:
            if route.name == name:
                return route
        raise KeyError(name)

    def routes_after(self, name: str) -> tuple[Route, ...]:
        """Return the routes that are tried after this one, in their order."""
        return self.routes[self.routes.index(self.route(name)) + 1 :]

    def supports(self, capability: Capability) -> bool:
        """Return whether the model has a capability."""
        return capability in self.capabilities


class ModelFacts(TypedDict, total=False):
    """Optional fields of `Model`, for the functions that make a family's entries."""

    modality: Modality
    aliases: tuple[str, ...]
    max_prompt_length: int
    base64_aliases: frozenset[str]
    prompt_required: bool
    max_n: int
    max_inputs: int
    output_formats: tuple[str, ...]
    qualities: tuple[str, ...]
    styles: tuple[str, ...]
    seconds: tuple[float, float]
    fps: tuple[int, ...]
    retired_at: date
    successor: str
    edit_sizes: Sizes
