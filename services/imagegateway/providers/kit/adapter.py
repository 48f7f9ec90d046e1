"""Adapter base class and its data: pure translation between a task and one provider's HTTP API.

An adapter does not sleep, send, retry, log or store: the driver (`kit.driver`) does, for all adapters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import orjson
import pybase64
from google.protobuf.json_format import MessageToDict
from imagegateway.media.signed_links import extension_of
from imagegateway.providers.kit import reserved_options
from imagegateway.providers.kit.error_table import Failure
from imagegateway.v1.job_pb2 import Warning as PbWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.provider.v1 import provider_service_pb2 as pb
    from imagegateway.providers.catalog import Model, Route
    from imagegateway.providers.kit.error_table import ErrorTable
    from imagegateway.providers.kit.response_spool import SpooledContent
    from imagegateway.v1.job_pb2 import Cost, SvgUsage, Usage

# ---- requests


@dataclass(frozen=True, slots=True)
class InputImage:
    """Input image or mask. Masks are 8-bit greyscale PNGs of the first input's size: white = edit."""

    data: bytes
    media_type: str
    width: int
    height: int

    def file_part(self, field: str, name: str = "image") -> FilePart:
        """Return the image as a file of a multipart request."""
        return FilePart(field, f"{name}.{extension_of(self.media_type)}", self.data, self.media_type)

    def data_url(self) -> str:
        """Return the image as a base64 `data:` URL."""
        return f"data:{self.media_type};base64,{self.base64()}"

    def base64(self) -> str:
        """Return the image's bytes as base64."""
        return pybase64.b64encode_as_string(self.data)


@dataclass(slots=True)
class Call:
    """One request to the provider: `count` images of a task, the first of them number `index`, from 0."""

    task: pb.ImageTask
    model: Model
    route: Route
    job_id: str
    index: int
    count: int
    tenant: str = ""
    """Tenant whose share of the download slots the results use."""
    inputs: tuple[InputImage, ...] = ()
    mask: InputImage | None = None
    markup: InputImage | None = None
    warnings: list[PbWarning] = field(default_factory=list)

    @property
    def seed(self) -> int | None:
        """Return the seed of this call's first image; None where the caller leaves the seed to the provider."""
        return (self.task.seed + self.index) % (1 << 32) if self.task.HasField("seed") else None

    @property
    def options(self) -> dict[str, Any]:
        """Return the caller's provider options, with whole numbers as ints."""
        return provider_options(self.task)

    def with_options(self, ours: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a request's fields: `ours`, the caller's options beside them, and `defaults` for absent names.

        Raises GatewayError UNSUPPORTED_PARAMETER for an option that `ours` holds.
        """
        return reserved_options.merge(ours, self.options, defaults)

    @property
    def is_resized(self) -> bool:
        """Return whether an edit requests a size other than the allowed one nearest to the first input's."""
        if not (self.inputs and self.task.width):
            return False
        first, sizes = self.inputs[0], self.model.sizes_for(edit=True)
        return (self.task.width, self.task.height) != sizes.nearest(first.width, first.height)

    def warn(self, code: str, param: str, message: str) -> None:
        """Add a warning for a requested option that the provider does not honour exactly."""
        self.warnings.append(PbWarning(code=code, param=param, message=message))


@dataclass(frozen=True, slots=True)
class FilePart:
    """File of a multipart request."""

    field: str
    filename: str
    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Request to the provider.

    `path` is joined to the route's base URL; an absolute URL is called unchanged, with the key only where
    `Endpoint.trusts` allows it. The body is `json`, or `fields` and `files`; fields alone are urlencoded unless
    `multipart` is set.
    """

    method: str
    path: str
    json: Mapping[str, Any] | None = None
    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[FilePart, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    multipart: bool = False
    timeout_seconds: float | None = None
    """Longest time until the whole response has arrived; None: the adapter's `timeout_seconds`."""


# ---- responses


@dataclass(frozen=True)
class HttpResponse:
    """Whole response of the provider."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    spooled: SpooledContent | None = None
    """Content of a large response that waits for memory: `response_spool` loads it before an adapter reads it."""

    @property
    def is_success(self) -> bool:
        """Return whether the status is 2xx."""
        return 200 <= self.status < 300

    @cached_property
    def json(self) -> Any:
        """Return the body as JSON; None for a body that is not JSON."""
        try:
            return orjson.loads(self.content)
        except ValueError:
            return None

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object; empty for a body that is not one."""
        return self.json if isinstance(self.json, dict) else {}


@dataclass(frozen=True, slots=True)
class ResultMedia:
    """One image or video of a response: its bytes, or the URL to fetch them from at once.

    Raises TypeError for neither: the types in a response are not trusted.
    """

    data: bytes | None = None
    url: str = ""
    revised_prompt: str = ""
    seed: int | None = None
    needs_credentials: bool = False
    """The URL, or path under the route's base URL, requires the provider's key, which trusted hosts alone receive."""

    def __post_init__(self) -> None:
        if not (isinstance(self.data, bytes) or (isinstance(self.url, str) and self.url)):
            raise TypeError("the result has neither bytes nor an address")

    @classmethod
    def from_url(cls, url: str, seed: int | None = None) -> ResultMedia:
        """Return the result behind a URL; a `data:` URL holds the bytes itself."""
        if not url.startswith("data:"):
            return cls(url=url, seed=seed)
        return cls(data=pybase64.b64decode(url.partition(",")[2]), seed=seed)


@dataclass(frozen=True, slots=True)
class Finished:
    """Outcome of a call that made results. `missing` holds a failure for each requested image that was not made."""

    results: tuple[ResultMedia, ...]
    missing: tuple[Failure, ...] = ()
    usage: Usage | None = None
    cost: Cost | None = None
    """Cost as the response states it. Prices of the catalog apply without one."""
    svg_usage: SvgUsage | None = None
    """Usage of the author of an SVG, apart from `usage`."""
    billed_missing: int = 0
    """Number of missing images that the provider bills all the same."""
    stored: tuple[pb.Artifact | pb.Failed | None, ...] = ()
    """`results` after the driver has fetched and stored them; None: the store stayed unavailable."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Outcome of a call that the provider still works on; `ref` is all that polling requires.

    `after`: seconds until the next poll is useful; the driver polls less often the longer nothing changes.
    """

    ref: str
    after: float = 1.0
    progress: int | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """State that the adapter does not know: logged by name, polled for a short grace period, then failed by name.

    `after`: seconds until the next poll.
    """

    state: str
    after: float = 1.0


Outcome = Finished | Pending | Failure | Unknown

PARSE_ERRORS: Final = (LookupError, ArithmeticError, TypeError, ValueError, AttributeError, RecursionError)
"""Exceptions that parsing raises for a response that differs from the provider's documentation."""


@dataclass(frozen=True, slots=True)
class PartialImage:
    """Preview of an image that the provider is still making; `index` counts from 0."""

    media: ResultMedia
    index: int


class StreamDecoder(ABC):
    """Decoder of one response of server-sent events. It holds that response's state and does no I/O."""

    @abstractmethod
    def decode(self, data: bytes) -> PartialImage | None:
        """Decode the next event, and return the preview in it, if any. Raises one of PARSE_ERRORS."""

    @abstractmethod
    def outcome(self, error: Failure | None) -> Outcome:
        """Return the call's outcome at the end of the stream.

        `error`: why the stream broke off, or that an event could not be parsed: the failure of the images that are
        missing.
        """


# ---- adapter


class Adapter(ABC):
    """Translation for one provider API, which one route names."""

    route: str
    """Route name, as in the catalog and in `X-BYOK-<route>`."""
    default_base_url: str
    """The provider's own base URL; the setting IMAGEGATEWAY_<ROUTE>_BASE_URL replaces it."""
    version: str = ""
    """Path of the API's version, such as `/v1`: put before every path, and not repeated after a base URL that ends in
    it."""
    trusted_hosts: tuple[str, ...] = ()
    """Further hosts that may receive the key; a leading `*.` matches all subdomains."""
    requires_key: bool = True
    """False for servers of the operator's own, which may require none."""
    max_images_per_call: int = 1
    """Most images that one request makes; `Route.max_images_per_call` of the catalog replaces it."""
    timeout_seconds: float = 180.0
    """Request timeout in seconds."""
    errors: ErrorTable

    def base_url(self, configured: str, setting: Callable[[str], str]) -> str:
        """Return the URL that paths are joined to: the configured base URL with the API's version.

        `setting` reads a further setting by its name without prefix. Raises GatewayError PROVIDER_NOT_CONFIGURED
        when a setting that the route requires is empty.
        """
        return configured.removesuffix(self.version) + self.version

    @abstractmethod
    def auth_headers(self, credential: str) -> Mapping[str, str]:
        """Return the headers that carry the key."""

    @abstractmethod
    def submit(self, call: Call) -> HttpRequest:
        """Return the request for a call, and add the call's warnings: strict handling refuses by them.

        Raises GatewayError for a request that the provider can't serve.
        """

    @abstractmethod
    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        """Return the outcome that a 2xx response to `submit` states. Raises one of PARSE_ERRORS."""

    def stream_decoder(self, call: Call, head: HttpResponse) -> StreamDecoder | None:
        """Return the decoder of a 2xx response to `submit` that is an event stream; None: `read_submit` reads it.

        `head` has no content.
        """
        return None

    def poll(self, call: Call, ref: str) -> HttpRequest:
        """Return the request for a task's state."""
        raise NotImplementedError(f"{self.route} has no tasks")

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        """Return the outcome that a 2xx response to `poll` states. Raises one of PARSE_ERRORS."""
        raise NotImplementedError(f"{self.route} has no tasks")

    def read_poll_error(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        """Return the outcome that a response outside 2xx to `poll` states.

        By default 408, 429 and 5xx mean that the task still runs, as polling is free; an adapter overrides this for a
        provider that answers so for a failed task.
        """
        failure = self.read_error(call, response)
        if response.status >= 500 or response.status in {408, 429}:
            # Providers keep results for minutes only, so a longer Retry-After is cut.
            return Pending(ref, after=min(max(failure.retry_after or 0.0, 5.0), 60.0))
        return failure

    def cancel(self, call: Call, ref: str) -> HttpRequest | None:
        """Return the request that stops a task; None where the provider offers no such request."""
        return None

    def interrupt(self, call: Call) -> HttpRequest | None:
        """Return the request that stops a submit without a response yet; None where none is offered."""
        return None

    def inquire(self, call: Call) -> HttpRequest | None:
        """Return the request that asks whether the server works on this call, for an `interrupt` that stops any call.

        None where `interrupt` names its call.
        """
        return None

    def is_working_on(self, call: Call, response: HttpResponse) -> bool:
        """Return whether a 2xx response to `inquire` says that the server works on the call."""
        raise NotImplementedError(f"{self.route} names the call that it interrupts")

    def probe(self) -> HttpRequest | None:
        """Return a free request that shows whether the key is valid; None where none is offered."""
        return None

    def accepts_key(self, response: HttpResponse) -> bool:
        """Return whether the response to `probe` says that the key is valid."""
        return response.is_success

    def read_error(self, call: Call, response: HttpResponse) -> Failure:
        """Return the failure that a response outside 2xx states. Raises one of PARSE_ERRORS."""
        return self.errors.lookup(response)


# ---- options


def provider_options(task: pb.ImageTask) -> dict[str, Any]:
    """Return a task's provider options, with whole numbers as ints: protobuf's Struct holds doubles only."""
    return {name: _plain(value) for name, value in MessageToDict(task.provider_options).items()}


_EXACT: Final = 2**53
"""Largest whole number up to which doubles hold every one."""


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float() if value.is_integer() and abs(value) <= _EXACT:
            return int(value)
    return value
