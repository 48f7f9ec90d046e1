"""What the public methods mean, apart from how they are served: plan, run, answer."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import ids
from services.common.errors import GatewayError
from services.router import families, plan
from services.router.answer import Answers, nothing
from services.router.intake import Intake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from services.common.outbound import Outbound
    from services.common.settings import Settings
    from services.common.store import MediaStore
    from services.router.caller import Call
    from services.router.catalog import Catalog
    from services.router.families import Families
    from services.router.plan import Plan


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture on its way."""

    data: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Studio:
    """Everything that a call needs."""

    settings: Settings
    catalog: Catalog
    store: MediaStore
    outbound: Outbound
    families: Families
    answers: Answers
    clock: Callable[[], float] = time.time

    def plan_generate(self, request: pb.GenerateRequest, call: Call) -> Plan:
        """Check a request for pictures from a prompt. Raises GatewayError naming the field."""
        made = plan.make(request, self.catalog, self.settings.default_generate_model, call.preferences)
        _note(call, made)
        return made

    @asynccontextmanager
    async def intake(self) -> AsyncIterator[Intake]:
        """Take in an edit's pictures; whatever happens, none stays in the store after the call."""
        async with Intake(self.store, self.outbound) as intake:
            try:
                yield intake
            finally:
                await asyncio.shield(self.store.delete(intake.keys))

    async def plan_edit(
        self, request: pb.EditRequest, call: Call, intake: Intake, unknown: Sequence[str] = ()
    ) -> Plan:
        """Check an edit and take in what its fields name; `unknown` as in `plan.make`. Raises GatewayError."""
        has_mask = intake.has_mask or bool(request.mask_url) or request.HasField("mask")
        made = plan.make(
            request,
            self.catalog,
            self.settings.default_edit_model,
            call.preferences,
            has_mask=has_mask or request.HasField("mask_content"),
            unknown=unknown,
        )
        await intake.take_request(request)
        await intake.settle(made)
        first = made.task.inputs[0]
        plan.fit_to_input(made, first.width, first.height)
        _note(call, made)
        return made

    async def run(self, made: Plan, call: Call) -> pb.ImagesResponse:
        """Do the work and answer with the images. Raises GatewayError."""
        async for step in self.watch(made, call):
            if isinstance(step, pb.ImagesResponse):
                return step
        raise nothing()

    async def watch(self, made: Plan, call: Call) -> AsyncIterator[Preview | pb.ImagesResponse]:
        """Do the work: previews as they come, the answer last. Raises GatewayError."""
        request = provider.StartRequest(job_id=ids.job(), task=made.task)
        family = made.model.family
        began = time.perf_counter()
        shown = 0
        try:
            async with asyncio.timeout(self.settings.inline_wait):
                begun = await self.families.start(family, request)
                async for state in self.families.follow(family, request, begun):
                    current = state.running if state.HasField("running") else state.done
                    for ref in current.partial_images[shown:]:
                        yield Preview(await self.store.read(ref.key), shown)
                        shown += 1
        except TimeoutError:
            raise GatewayError(
                ErrorReason.ERROR_REASON_PROVIDER_TIMEOUT,
                f"{made.model.id} did not answer within {self.settings.inline_wait:g} s.",
            ) from None
        call.log["provider_ms"] = round((time.perf_counter() - began) * 1000, 1)
        if state.HasField("failed"):
            raise families.failure(state.failed)
        if not state.done.artifacts:
            raise nothing()
        call.log["image_count"] = len(state.done.artifacts)
        call.log["bytes"] = sum(artifact.media.size for artifact in state.done.artifacts)
        yield await self.answers.images(made, state.done, self.clock())


def _note(call: Call, made: Plan) -> None:
    call.log["model"] = made.model.id
    call.log["provider"] = made.route.name
    call.headers["x-imagegateway-provider"] = made.route.name
