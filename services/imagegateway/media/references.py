"""What stands for stored pictures in messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.provider.v1 import provider_service_pb2 as pb

if TYPE_CHECKING:
    from imagegateway.media.images import Facts
    from imagegateway.media.store import Stored


def reference(stored: Stored, facts: Facts) -> pb.MediaRef:
    """Where a picture's bytes are, and what they are."""
    return pb.MediaRef(
        key=stored.key,
        sha256=stored.sha256,
        media_type=facts.media_type,
        width=facts.width,
        height=facts.height,
        size=stored.size,
    )
