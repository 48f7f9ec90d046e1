"""What each of Google's APIs has: the methods of an adapter that differ between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagegateway.providers.kit.adapter import Call, HttpRequest, HttpResponse, Outcome


class Api(ABC):
    """One API; inline ones have no tasks."""

    @abstractmethod
    def submit(self, call: Call) -> HttpRequest:
        """As Adapter.submit."""

    @abstractmethod
    def read_submit(self, call: Call, response: HttpResponse) -> Outcome:
        """As Adapter.read_submit."""

    def poll(self, ref: str) -> HttpRequest:
        """As Adapter.poll."""
        raise NotImplementedError("this API has no tasks")

    def read_poll(self, call: Call, ref: str, response: HttpResponse) -> Outcome:
        """As Adapter.read_poll."""
        raise NotImplementedError("this API has no tasks")

    def cancel(self, ref: str) -> HttpRequest | None:
        """As Adapter.cancel."""
        return None
