"""Harness: runs a family against an emulator like the worker, with polls on a fake clock."""

from __future__ import annotations

import io
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from imagegateway.media import images
from imagegateway.media.decoding import DecodeBudget
from imagegateway.media.store import MediaStore
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.url_guard import UrlGuard
from imagegateway.platform import setting_source, settings
from imagegateway.platform.errors import GatewayError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.driver import HttpFamily
from imagegateway.providers.kit.response_spool import ResponseSpool
from imagegateway.providers.kit.task_state import failed_task
from imagegateway.router.catalog import Catalog
from PIL import Image

from tests.support.media import OWNER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from imagegateway.providers.catalog import Model
    from imagegateway.providers.kit.adapter import Adapter
    from imagegateway.providers.kit.family import OnProgress


_CATALOG: Final = Catalog.load(setting_source.Source({}))


@dataclass
class Harness:
    """Family on a temporary store, with a fake clock that only sleeps advance."""

    family: HttpFamily
    store: MediaStore
    now: float = 1_800_000_000.0
    slept: list[float] = field(default_factory=list)
    sleep: Callable[[float], Awaitable[None]] | None = None
    """Replacement of the family's sleep, which by default advances the clock."""

    @classmethod
    def open(
        cls, models: tuple[Model, ...], adapters: Sequence[Adapter], tmp_path: Path, values: Mapping[str, str]
    ) -> Harness:
        """Open a family on a temporary store.

        `values`: settings such as IMAGEGATEWAY_BFL_API_KEY and IMAGEGATEWAY_BFL_BASE_URL.
        """
        environment = {"IMAGEGATEWAY_ALLOW_HOSTS": "127.0.0.1", "IMAGEGATEWAY_DATA_DIR": str(tmp_path), **values}
        current = settings.load(setting_source.Source(environment))
        store = MediaStore.open((tmp_path / "media").as_uri())
        harness: Harness

        async def sleep(seconds: float) -> None:
            if harness.sleep:
                await harness.sleep(seconds)
                return
            harness.slept.append(seconds)
            harness.now += seconds

        family = HttpFamily(
            models[0].family,
            models,
            adapters,
            settings=current,
            # No certificates: loading them takes longer than a test, and emulators speak plain HTTP.
            outbound=Outbound(UrlGuard(current.allow_hosts), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)),
            store=store,
            decode_budget=DecodeBudget(current.decode_pixels),
            spool=ResponseSpool(current.answer_memory * 1024**2, tmp_path),
            clock=lambda: harness.now,
            sleep=sleep,
        )
        harness = cls(family, store)
        return harness

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.family.close()

    async def keep(self, data: bytes) -> pb.MediaRef:
        """Store an input, as the router does."""
        facts = images.inspect(data, "image")
        stored = await self.store.put_result(data, OWNER)
        return stored.reference(facts)

    async def run(
        self,
        task: pb.ImageTask,
        *,
        credential: str = "",
        polls: int = 200,
        patient: bool = False,
        on_progress: OnProgress | None = None,
    ) -> pb.TaskState:
        """Run a task, and return its final state.

        After `polls` polls fail, or with `patient` return the running state.
        """
        try:
            request = pb.StartRequest(job_id="job_test", task=task, credential=credential)
            state = await self.family.start(request, on_progress)
            for _ in range(polls):
                if not state.HasField("running"):
                    return state
                self.now += state.running.poll_after.ToTimedelta().total_seconds()
                state = await self.family.poll(
                    pb.PollRequest(
                        job_id="job_test", task_ref=state.running.task_ref, task=task, credential=credential
                    )
                )
        except GatewayError as error:
            return failed_task(error, may_be_billed=False)
        if patient:
            return state
        raise AssertionError("the task did not end")

    async def bytes_of(self, artifact: pb.Artifact) -> bytes:
        return await self.store.read(artifact.media.key)


def dollars(task: pb.ImageTask, done: pb.Done) -> float | None:
    """Return the cost of a task's result in US dollars, as the router computes it."""
    cost = _CATALOG.price(task, done)
    return cost.amount if cost else None


def left_half(width: int, height: int) -> bytes:
    """Return a mask as the router makes it: edit the left half, with a dark grey column at the seam."""
    drawn = Image.new("L", (width, height), 0)
    drawn.paste(255, (0, 0, width // 2, height))
    drawn.paste(100, (width // 2, 0, width // 2 + 1, height))
    out = io.BytesIO()
    drawn.save(out, "PNG")
    return out.getvalue()
