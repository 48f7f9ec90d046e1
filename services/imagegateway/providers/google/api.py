"""Base class of Google's APIs: the adapter methods that differ between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegateway.providers.kit.call import Call
    from imagegateway.providers.kit.http_messages import HttpRequest, HttpResponse
    from imagegateway.providers.kit.outcomes import Outcome


class Api(ABC):
    """One of Google's APIs; an inline API has no tasks."""

    @abstractmethod
    def submit(self, call: Call) -> HttpRequest:
        """Return the request of `Adapter.submit`."""

    @abstractmethod
    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        """Return the outcome of `Adapter.read_submit`."""

    def poll(self, ref: str) -> HttpRequest:
        """Return the request of `Adapter.poll`."""
        raise NotImplementedError("this API has no tasks")

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        """Return the outcome of `Adapter.read_poll`."""
        raise NotImplementedError("this API has no tasks")

    def cancel(self, ref: str) -> HttpRequest | None:
        """Return the request of `Adapter.cancel`."""
        return None
