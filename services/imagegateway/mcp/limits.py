"""Limits of `/mcp`, in bytes."""

from __future__ import annotations

from typing import Final

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""Largest body of a request. Larger input images come by URL or as earlier results."""
MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Bodies of all running requests together. One API key has half of it."""
LEAST_HELD_BYTES: Final = 64 * 1024
"""A request counts for at least so much: its call takes memory, too."""
