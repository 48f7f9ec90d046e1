"""What a provider's adapter is: pure translation between a task and the provider's HTTP, nothing else.

An adapter does not sleep, call, retry, log or store: `imagegateway.providers.kit.driver` does, for all of them.
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
    from imagegateway.providers.kit.reply_memory import Spool
    from imagegateway.v1.job_pb2 import Cost, SvgUsage, Usage


@dataclass(frozen=True, slots=True)
class Picture:
    """An input's or a mask's bytes. Masks are 8-bit greyscale PNGs of the first input's size: white = edit."""

    data: bytes
    media_type: str
    width: int
    height: int

    def upload(self, field: str, name: str = "image") -> Upload:
        """The picture as a file of a multipart request."""
        return Upload(field, f"{name}.{extension_of(self.media_type)}", self.data, self.media_type)


@dataclass(slots=True)
class Call:
    """One request to the provider: `count` pictures of a task, the first of them number `index`."""

    task: pb.ImageTask
    model: Model
    route: Route
    job_id: str
    index: int
    count: int
    tenant: str = ""
    """Whose share of the downloads its results take."""
    inputs: tuple[Picture, ...] = ()
    mask: Picture | None = None
    markup: Picture | None = None
    warnings: list[PbWarning] = field(default_factory=list)

    @property
    def seed(self) -> int | None:
        """The seed of this call's first picture; none when the caller left it to the provider."""
        return (self.task.seed + self.index) % (1 << 32) if self.task.HasField("seed") else None

    @property
    def options(self) -> dict[str, Any]:
        """The provider's own options. Whole numbers are ints, as the caller wrote them."""
        return options_of(self.task)

    def with_options(self, ours: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a request's fields: `ours` with the caller's options beside them, `defaults` where neither has one.

        Raises GatewayError UNSUPPORTED_PARAMETER for an option that `ours` holds.
        """
        return reserved_options.beside(ours, self.options, defaults)

    @property
    def resized(self) -> bool:
        """Whether an edit asks for another size than its first input's, as near as the model makes that one."""
        if not (self.inputs and self.task.width):
            return False
        first, sizes = self.inputs[0], self.model.sizes_for(edit=True)
        return (self.task.width, self.task.height) != sizes.nearest(first.width, first.height)

    def warn(self, code: str, param: str, message: str) -> None:
        """Say what the caller asked for and won't get exactly."""
        self.warnings.append(PbWarning(code=code, param=param, message=message))


@dataclass(frozen=True, slots=True)
class Upload:
    """One part of a multipart request that is a file."""

    field: str
    filename: str
    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request to the provider. `path` is joined to the route's base URL; an absolute URL is called as it is, with
    the key only where `Adapter.trusts` says so. One of `json` and `fields` with `files` makes the body; fields alone
    are urlencoded unless `multipart` is set.
    """

    method: str
    path: str
    json: Mapping[str, Any] | None = None
    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[Upload, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    multipart: bool = False
    seconds: float | None = None
    """Longest that the whole answer may take; None: as long as the adapter's usual one."""


@dataclass(frozen=True)
class Reply:
    """The provider's answer, whole."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    spool: Spool | None = None
    """Where the content of a large answer waits: `reply_memory` loads it before an adapter reads it."""

    @cached_property
    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return orjson.loads(self.content)
        except ValueError:
            return None

    def dict(self) -> dict[str, Any]:
        """The body as a JSON object; empty when it is none."""
        return self.json if isinstance(self.json, dict) else {}


@dataclass(frozen=True, slots=True)
class Found:
    """One picture or video of an answer: its bytes, or the URL to fetch them from at once.

    Raises TypeError for neither: answers are not trusted with their types.
    """

    data: bytes | None = None
    url: str = ""
    revised_prompt: str = ""
    seed: int | None = None
    keyed: bool = False
    """The URL, or path under the route's base URL, asks for the provider's key. That goes to trusted hosts only."""

    def __post_init__(self) -> None:
        if not (isinstance(self.data, bytes) or (isinstance(self.url, str) and self.url)):
            raise TypeError("the result has neither bytes nor an address")

    @classmethod
    def at(cls, url: str, seed: int | None = None) -> Found:
        """A result behind a URL; a `data:` URL brings the bytes itself."""
        if not url.startswith("data:"):
            return cls(url=url, seed=seed)
        return cls(data=pybase64.b64decode(url.partition(",")[2]), seed=seed)


@dataclass(frozen=True, slots=True)
class Finished:
    """It is done. `missing` holds a failure for each picture that was asked for and not made."""

    pictures: tuple[Found, ...]
    missing: tuple[Failure, ...] = ()
    usage: Usage | None = None
    cost: Cost | None = None
    svg_usage: SvgUsage | None = None
    """What the author of an SVG used, apart from `usage`."""
    kept: tuple[pb.Artifact | pb.Failed | None, ...] = ()
    """`pictures` once the driver has fetched and stored them; None: the store stayed away."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The provider works on it; `ref` is all that polling needs.

    `after`: seconds until asking makes sense; the driver asks less often the longer nothing moves.
    """

    ref: str
    after: float = 1.0
    progress: int | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A state that the adapter does not know: logged by name, given a short grace, then failed by name. `after`:
    seconds until it is asked again.
    """

    state: str
    after: float = 1.0


Outcome = Finished | Pending | Failure | Unknown

UNREADABLE: Final = (LookupError, ArithmeticError, TypeError, ValueError, AttributeError, RecursionError)
"""What reading an answer raises when it is not what the provider documents."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A picture on its way: stage `index` of it, from 0."""

    found: Found
    index: int


class Reading(ABC):
    """What an answer of server-sent events says so far: a state for each answer, and as pure as the adapter."""

    @abstractmethod
    def event(self, data: bytes) -> Stage | None:
        """Take in the data of the next event; gives the preview that it brings. Raises one of UNREADABLE."""

    @abstractmethod
    def outcome(self, broken: Failure | None) -> Outcome:
        """What it came to at its end. `broken` says why that came early, or what could not be read: it is the failure
        of the pictures that are not there.
        """


class Adapter(ABC):
    """One provider API, reached by one route."""

    route: str
    """Route name, as in the catalog and in `X-BYOK-<route>`."""
    origin: str
    """The provider's own base URL; the setting IMAGEGATEWAY_<ROUTE>_BASE_URL replaces it."""
    version: str = ""
    """Path of the API's version, such as `/v1`: put before every path, and not doubled when a base URL ends in it."""
    hosts: tuple[str, ...] = ()
    """Further hosts that may see the key; `*.` in front means all below."""
    needs_key: bool = True
    """False for servers of one's own, which may ask for none."""
    max_images_per_call: int = 1
    """Most pictures that one request makes; `Route.max_images_per_call` of the catalog goes before it."""
    seconds: float = 180.0
    """Longest that the provider may take to answer a request."""
    errors: ErrorTable

    def place(self, base: str, setting: Callable[[str], str]) -> str:
        """The URL that paths are joined to: the base URL with the API's version.

        `setting` reads a further setting by its name without prefix. Raises GatewayError PROVIDER_NOT_CONFIGURED
        when one that the route needs is empty.
        """
        return base.removesuffix(self.version) + self.version

    @abstractmethod
    def auth(self, credential: str) -> Mapping[str, str]:
        """Headers that carry the key."""

    @abstractmethod
    def submit(self, call: Call) -> Outgoing:
        """The request for a call. Raises GatewayError for what the provider can't be asked.

        Warns here of all that the caller asked for and won't get exactly: strict handling refuses by it.
        """

    @abstractmethod
    def read_submit(self, call: Call, reply: Reply) -> Outcome:
        """What a 2xx answer to `submit` says."""

    def reading(self, call: Call, head: Reply) -> Reading | None:
        """How to read a 2xx answer to `submit` that comes as events; None for one that `read_submit` reads whole.
        `head` has no content yet.
        """
        return None

    def poll(self, call: Call, ref: str) -> Outgoing:
        """The request that asks how a task stands."""
        raise NotImplementedError(f"{self.route} has no tasks")

    def read_poll(self, call: Call, ref: str, reply: Reply) -> Outcome:
        """What a 2xx answer to `poll` says."""
        raise NotImplementedError(f"{self.route} has no tasks")

    def read_poll_error(self, call: Call, ref: str, reply: Reply) -> Outcome:
        """What an answer outside 2xx to `poll` says. By default 408, 429 and 5xx say nothing of the task, as asking
        costs nothing; a provider that answers so for a task that failed says it here.
        """
        failure = self.read_error(call, reply)
        if reply.status >= 500 or reply.status in {408, 429}:
            # Results are there for minutes only, so no wish is granted in full.
            return Pending(ref, after=min(max(failure.retry_after or 0.0, 5.0), 60.0))
        return failure

    def cancel(self, call: Call, ref: str) -> Outgoing | None:
        """The request that stops a task; None where the provider has none."""
        return None

    def interrupt(self, call: Call) -> Outgoing | None:
        """The request that stops what `submit` asked for and was not answered yet; None where there is none."""
        return None

    def inquire(self, call: Call) -> Outgoing | None:
        """The request that asks whether the server works on this very call, for an `interrupt` that stops whatever
        runs; None where `interrupt` names its call.
        """
        return None

    def works_on(self, call: Call, reply: Reply) -> bool:
        """Whether a 2xx answer to `inquire` says that the server works on the call."""
        raise NotImplementedError(f"{self.route} names the call that it interrupts")

    def probe(self) -> Outgoing | None:
        """A request that costs nothing and tells whether the key is good; None where the provider has none."""
        return None

    def passes(self, reply: Reply) -> bool:
        """Whether the answer to `probe` says that the key is good."""
        return 200 <= reply.status < 300

    def read_error(self, call: Call, reply: Reply) -> Failure:
        """What an answer outside 2xx says."""
        return self.errors.lookup(reply)


def options_of(task: pb.ImageTask) -> dict[str, Any]:
    """Return a task's provider options. Whole numbers are ints, as the caller wrote them."""
    return {name: _plain(value) for name, value in MessageToDict(task.provider_options).items()}


_EXACT: Final = 2**53
"""Doubles hold every whole number up to it."""


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case float() if value.is_integer() and abs(value) <= _EXACT:
            return int(value)
    return value
