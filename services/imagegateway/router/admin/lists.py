"""Pages of lists, and errors of unknown names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.platform.errors import GatewayError
from imagegateway.platform.pages import decode_token, encode_token, page_size, unknown_token
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
        try:
            after = decode_token(token)
        except ValueError:
            raise unknown_token() from None
        items = [item for item in items if sort_key(item) > after]
    page = items[:size]
    return page, encode_token(sort_key(page[-1])) if len(items) > size else ""


def not_found(param: str, message: str) -> GatewayError:
    """Return the error of a name that is unknown."""
    return GatewayError(ErrorReason.ERROR_REASON_NOT_FOUND, message, param=param)
