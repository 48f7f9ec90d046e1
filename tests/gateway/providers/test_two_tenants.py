"""One tenant takes its whole share of each resource. Another tenant's quick calls stay unaffected.

The tests count events: the second tenant is served before any work of the first one ends.
"""

from __future__ import annotations

import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from tests.gateway import inputs
from tests.gateway.jobs.calls import Caller
from tests.gateway.jobs.stacks import new_caller
from tests.gateway.origin import serving
from tests.gateway.rest import EDITS, SMALL, Answer
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.jobs.receiver import Receiver
    from tests.support.stack import Stack

JOBS: Final = 80
"""More jobs than the local route has slots."""
HOOKS: Final = 60
"""More webhooks than a replica delivers concurrently."""
EDITS_OF_URLS: Final = 8
URLS: Final = 16
"""Images per edit: together more than a replica downloads concurrently."""
NEVER: Final = 600.0
"""Seconds of a job unless cancelled: longer than the quick calls of the test."""


def test_flood_of_one_tenant_delays_no_quick_call_of_another(shared: Stack, receiver: Receiver) -> None:
    mark = uuid.uuid4().hex
    flooding, quiet = Caller(shared, shared.key), new_caller(shared, "quiet")
    hook, gate = receiver.hook(f"/{mark}-quiet"), threading.Event()
    hanging = receiver.hook(f"/{mark}-hanging", gate=gate)
    with (
        serving() as origin,
        socket.create_server(("127.0.0.1", 0), backlog=512) as silent,
        ThreadPoolExecutor(EDITS_OF_URLS) as pool,
    ):
        silent.settimeout(30)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/never.png"
        try:
            for _ in range(HOOKS):
                assert flooding.generate(webhook_url=hanging).status == 200
            eventually(lambda: bool(receiver.on(f"/{mark}-hanging")), 30, "a webhook hangs")
            jobs = [flooding.submit(NEVER) for _ in range(JOBS)]
            edits = [pool.submit(edit, flooding, [url] * URLS) for _ in range(EDITS_OF_URLS)]
            silent.accept()[0].close()  # at least one download is under way

            assert quiet.generate(webhook_url=hook).status == 200
            assert edit(quiet, [origin.put("/input.png", inputs.image_bytes())]).status == 200
            assert receiver.wait(f"/{mark}-quiet")
            assert not [job_id for job_id in jobs if flooding.job(job_id)["status"] not in {"queued", "running"}]
            assert not all(each.done() for each in edits)
        finally:
            gate.set()
        for job_id in jobs:
            flooding.cancel(job_id)
        silent.close()


def edit(caller: Caller, urls: list[str]) -> Answer:
    return caller.ask("POST", EDITS, {**SMALL, "images": urls})
