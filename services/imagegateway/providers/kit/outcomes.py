"""Outcomes of a call, and the media in them, as adapters read them from responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pybase64
from imagegateway.providers.kit.error_table import Failure

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as pb
    from imagegateway.v1.job_pb2 import Cost, SvgUsage, Usage


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
    """Unfinished image that the provider streams before its result; `index` counts from 0."""

    media: ResultMedia
    index: int
