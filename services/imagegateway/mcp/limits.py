"""Limits of the tools and of `/mcp`."""

from __future__ import annotations

from typing import Final

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""Largest body of a request. Larger input images come by URL or as earlier results."""
MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""Bodies of all running requests together. One API key has half of it."""
LEAST_HELD_BYTES: Final = 64 * 1024
"""A request counts for at least so many bytes: its call takes memory, too."""
TRANSFERS: Final = 4
"""Concurrent transfers of whole files through a process: inputs of an edit, or an image of a result. Each holds up to
100 MB. One caller has half of them.
"""
