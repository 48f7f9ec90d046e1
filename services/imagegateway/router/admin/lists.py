"""Pages of lists, and errors of unknown names."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LARGEST: Final = 1000
_T = TypeVar("_T")


def page_of(items: Sequence[_T], sort_key: Callable[[_T], str], size: int, token: str) -> tuple[Sequence[_T], str]:
    """Return a page of items that are sorted by a unique key, and the token of the next page; empty: the last one.

    Raises GatewayError INVALID_VALUE naming `page_size` or `page_token`.
    """
    size = page_size(size, _LARGEST, _LARGEST)
    if token:
        after = _decode(token)
        items = [item for item in items if sort_key(item) > after]
    page = items[:size]
    return page, _encode(sort_key(page[-1])) if len(items) > size else ""


def page_size(given: int, default: int, largest: int) -> int:
    """Return the size of a page; 0 means the default. Raises GatewayError INVALID_VALUE for a negative one."""
    if given < 0:
        raise invalid("page_size", f"page_size must be from 1 to {largest}.")
    return min(given or default, largest)


def not_found(param: str, message: str) -> GatewayError:
    """Return the error of a name that is unknown."""
    return GatewayError(ErrorReason.ERROR_REASON_NOT_FOUND, message, param=param)


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, ValueError):
        raise invalid("page_token", "page_token is not one that a list gave.") from None
