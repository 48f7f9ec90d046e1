"""A scripted provider for one case, and the family that calls it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import web
from imagegateway.platform.errors import REASONS, code_of
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.registry import HTTP_FAMILIES

from tests.emulators.base import Emulator, Sent
from tests.providers.contract.api_case import MP4, PNG, ApiCase, Response
from tests.providers.contract.api_cases import API_CASES
from tests.providers.harness import Harness

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.providers.kit.adapter import Adapter


FOR_TASKS: Final = pytest.mark.parametrize(
    "case", [case for case in API_CASES if case.accepted], ids=lambda case: str(case.name), indirect=True
)
"""Mark of a test that concerns only APIs whose tasks are polled."""


@dataclass
class ScriptedProvider(Emulator):
    """Provider that sends scripted responses in order, the last one without limit, and serves results.

    `results`: the origin that its responses name for results. `silent`: it never responds. `breaks`: it closes the
    connection `before` the response, or in the `middle` of it.
    """

    key: str = "key-of-the-operator"
    script: list[Response] = field(default_factory=list)
    results: str = ""
    silent: bool = False
    breaks: str = ""
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def routes(self, app: web.Application) -> None:
        app.router.add_route("*", "/{path:.*}", self._respond)

    @property
    def calls(self) -> list[Sent]:
        """Return the received requests without the downloads of results."""
        return [sent for sent in self.sent if not _is_result(sent.path)]

    async def stop(self) -> None:
        self._stopped.set()
        await super().stop()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        if _is_result(request.path):
            return web.Response(body=PNG if request.path.endswith(".png") else MP4)
        if self.silent:
            await self._stopped.wait()
        assert request.transport
        if self.breaks == "before":
            request.transport.close()
            return web.Response()
        scripted = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        body = scripted.raw(self.base, self.results or self.base)
        headers = {"content-type": "application/octet-stream", **scripted.headers}
        if self.breaks == "middle":
            response = web.StreamResponse(
                status=scripted.status, headers={**headers, "content-length": str(len(body) + 1)}
            )
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            request.transport.close()
            return response
        return web.Response(body=body, status=scripted.status, headers=headers)


def _is_result(path: str) -> bool:
    return path.startswith("/result.") or path.endswith(":download")


@dataclass
class ApiFixture:
    """A case with its family and scripted provider."""

    case: ApiCase
    harness: Harness
    provider: ScriptedProvider

    def task(self, **fields: Any) -> pb.ImageTask:
        return pb.ImageTask(
            model=self.case.model, route=self.case.route, **{"prompt": "a fox", "n": 1, **self.case.fields, **fields}
        )

    async def run(self, *responses: Response, polls: int = 200, **fields: Any) -> pb.TaskState:
        """Run a task, with these responses after the submit. Return its final state."""
        self.provider.script = self.case.script(*responses)
        return await self.harness.run(self.task(**fields), polls=polls)

    async def submit(self, *responses: Response, **fields: Any) -> pb.TaskState:
        """Run a task, with these responses from the submit on. Return its final state."""
        self.provider.script = list(responses)
        return await self.harness.run(self.task(**fields))


def adapter_of(case: ApiCase) -> Adapter:
    return next(adapter for adapter in HTTP_FAMILIES[case.family].load_adapters() if adapter.route == case.route)


@asynccontextmanager
async def open_api(case: ApiCase, tmp_path: Path, **settings: str) -> AsyncIterator[ApiFixture]:
    """Open a case's family against its scripted provider. `settings` are further settings by name."""
    async with ScriptedProvider() as provider:
        prefix = f"IMAGEGATEWAY_{case.route.upper()}"
        values = {f"{prefix}_BASE_URL": provider.base, f"{prefix}_API_KEY": provider.key, **case.settings, **settings}
        entry = HTTP_FAMILIES[case.family]
        harness = Harness.open(entry.models, entry.load_adapters(), tmp_path, values)
        try:
            yield ApiFixture(case, harness, provider)
        finally:
            await harness.family.close()


def submissions(api: ApiFixture) -> list[Sent]:
    """Return the received requests that may be billed."""
    return [sent for sent in api.provider.calls if sent.method == "POST"]


def verdict(state: pb.TaskState) -> tuple[str, bool]:
    """Return a failure's code and whether the failure may be billed; an empty code for a success."""
    if state.HasField("failed"):
        assert REASONS[state.failed.reason].may_be_billed or not state.failed.may_be_billed
        return code_of(state.failed.reason), state.failed.may_be_billed
    assert state.HasField("done"), state
    return "", True
