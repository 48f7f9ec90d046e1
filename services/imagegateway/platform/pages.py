"""Pages of lists: sizes, and tokens that callers pass back unread."""

from __future__ import annotations

import base64

from imagegateway.platform.errors import GatewayError, invalid


def page_size(given: int, default: int, largest: int) -> int:
    """Return the size of a page; 0 means the default. Raises GatewayError INVALID_VALUE for a negative one."""
    if given < 0:
        raise invalid("page_size", f"page_size must be from 1 to {largest}.")
    return min(given or default, largest)


def encode_token(text: str) -> str:
    """Return a text as a page token."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(token: str) -> str:
    """Return the text of a page token. Raises ValueError for a malformed one."""
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()


def unknown_token(source: str = "a list") -> GatewayError:
    """Return the error of a page token that the source never made."""
    return invalid("page_token", f"page_token is not one that {source} gave.")
