"""Provider whose answer to everything is one large image."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Final

from tests.gateway.inputs import padded
from tests.gateway.memory import provider_stub
from tests.gateway.peak_memory import MIB

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

IMAGE: Final = 24 * MIB


def serving() -> AbstractContextManager[str]:
    """Serve it, and yield its address."""
    body = json.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(padded(IMAGE)).decode()}]}).encode()

    class Handler(provider_stub.Handler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_body(body)

    return provider_stub.serving(Handler)
