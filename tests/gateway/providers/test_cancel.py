"""Cancels reach the provider, also during a call without a response yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.gateway.providers.asking import path, request
from tests.gateway.providers.test_failures import changed
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers


def test_cancel_interrupts_a_self_hosted_server(caller: Caller, providers: Providers) -> None:
    own = providers["automatic1111"]
    fields = request("stability-ai/sdxl")
    with changed(own, seconds=60.0):
        answer = caller.ask(
            "POST", path(fields), fields, {"prefer": "respond-async", "x-byok-automatic1111": own.key}
        )
        assert answer.status == 202, answer.body
        job_id = answer.json()["id"]
        eventually(lambda: len(own.sent) == 1, 20, "the server works on it")
        caller.cancel(job_id)
        eventually(lambda: len(own.sent) == 3, 20, "the server receives the cancel")
        eventually(lambda: own.billed == 1, 20, "the server returns its partial result and is free")
    assert [sent.path for sent in own.sent] == ["/sdapi/v1/txt2img", "/internal/progress", "/sdapi/v1/interrupt"]
    assert caller.job(job_id)["status"] == "cancelled"
