"""Adapter base class: pure translation between a task and one provider's HTTP API.

An adapter does not sleep, send, retry, log or store: the driver (`kit.driver`) does, for all adapters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from imagegateway.providers.kit.outcomes import Pending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.error_table import ErrorTable, Failure
    from imagegateway.providers.kit.http_messages import HttpRequest, HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome, PartialImage


class StreamDecoder(ABC):
    """Decoder of one response of server-sent events. It holds that response's state and does no I/O."""

    @abstractmethod
    def decode(self, data: bytes) -> PartialImage | None:
        """Decode the next event, and return the partial image in it, if any. Raises one of PARSE_ERRORS."""

    @abstractmethod
    def outcome(self, error: Failure | None) -> Outcome:
        """Return the call's outcome at the end of the stream.

        `error`: why the stream broke off, or that an event could not be parsed: the failure of the images that are
        missing.
        """


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
    """Request timeout in seconds; the setting IMAGEGATEWAY_<ROUTE>_TIMEOUT replaces it."""
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
