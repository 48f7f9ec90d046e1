"""Limits of the stack of these tests, and sizes that fit into them."""

from __future__ import annotations

from typing import Final

from tests.gateway.peak_memory import MIB

ANSWERS: Final = 192
"""IMAGEGATEWAY_ANSWER_MEMORY in MiB. A tenant's half holds one response of `test_answers`,
or one of `large_replies` in three forms."""
BODIES: Final = 128
"""IMAGEGATEWAY_BODY_MEMORY in MiB: 64 per tenant."""
LOCAL_IMAGE: Final = 12 * MIB
"""Bytes of each image of local/sketch."""
