"""A provider that answers what a row says, and the family that calls it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from imagegateway.platform.errors import REASONS, code_of
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.registry import HTTP_FAMILIES

from tests.emulators.base import Emulator, Sent
from tests.providers.contract.rows import MP4, PNG, Answer, Row
from tests.providers.harness import Bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from imagegateway.providers.kit.adapter import Adapter


@dataclass
class Scripted(Emulator):
    """Answers as scripted, in order, the last answer for ever; hands out results.

    `results`: the origin that its answers name for results. `silent`: it never answers. `breaks`: it closes the
    connection `before` the answer, or in the `middle` of it.
    """

    key: str = "key-of-the-operator"
    script: list[Answer] = field(default_factory=list)
    results: str = ""
    silent: bool = False
    breaks: str = ""
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def routes(self, app: web.Application) -> None:
        app.router.add_route("*", "/{path:.*}", self._answer)

    @property
    def calls(self) -> list[Sent]:
        """What it was asked, without the downloads of results."""
        return [sent for sent in self.sent if not _is_result(sent.path)]

    async def stop(self) -> None:
        self._over.set()
        await super().stop()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if _is_result(request.path):
            return web.Response(body=PNG if request.path.endswith(".png") else MP4)
        if self.silent:
            await self._over.wait()
        assert request.transport
        if self.breaks == "before":
            request.transport.close()
            return web.Response()
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        body = answer.raw(self.base, self.results or self.base)
        headers = {"content-type": "application/octet-stream", **answer.headers}
        if self.breaks == "middle":
            response = web.StreamResponse(
                status=answer.status, headers={**headers, "content-length": str(len(body) + 1)}
            )
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            request.transport.close()
            return response
        return web.Response(body=body, status=answer.status, headers=headers)


def _is_result(path: str) -> bool:
    return path.startswith("/result.") or path.endswith(":download")


@dataclass
class World:
    """A row's family and provider."""

    row: Row
    bench: Bench
    provider: Scripted

    def task(self, **fields: Any) -> pb.ImageTask:
        return pb.ImageTask(
            model=self.row.model, route=self.row.route, **{"prompt": "a fox", "n": 1, **self.row.fields, **fields}
        )

    async def run(self, *answers: Answer, polls: int = 200, **fields: Any) -> pb.TaskState:
        """The state in which a task ends when the provider answers so after the submit."""
        self.provider.script = self.row.script(*answers)
        return await self.bench.run(self.task(**fields), polls=polls)

    async def submit(self, *answers: Answer, **fields: Any) -> pb.TaskState:
        """The state in which a task ends when the provider answers so from the submit on."""
        self.provider.script = list(answers)
        return await self.bench.run(self.task(**fields))


def adapter_of(row: Row) -> Adapter:
    return next(adapter for adapter in HTTP_FAMILIES[row.family].adapters if adapter.route == row.route)


@asynccontextmanager
async def opened(row: Row, tmp_path: Path, **settings: str) -> AsyncIterator[World]:
    """`settings` by name, beside those that lead to the provider."""
    async with Scripted() as provider:
        assert isinstance(provider, Scripted)
        prefix = f"IMAGEGATEWAY_{row.route.upper()}"
        values = {f"{prefix}_BASE_URL": provider.base, f"{prefix}_API_KEY": provider.key, **row.settings, **settings}
        bench = Bench.open(HTTP_FAMILIES[row.family].models, HTTP_FAMILIES[row.family].adapters, tmp_path, values)
        try:
            yield World(row, bench, provider)
        finally:
            await bench.family.close()


def verdict(state: pb.TaskState) -> tuple[str, bool]:
    """Return a failure's code and whether the failure may be billed; an empty code for a success."""
    if state.HasField("failed"):
        assert REASONS[state.failed.reason].may_be_billed or not state.failed.may_be_billed
        return code_of(state.failed.reason), state.failed.may_be_billed
    assert state.HasField("done"), state
    return "", True
