"""From a finished task to the caller's answer: links signed or bytes read, warnings and facts beside them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import job_pb2
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import links
from services.common.errors import GatewayError, code_of

if TYPE_CHECKING:
    from imagegateway.provider.v1 import provider_service_pb2 as provider

    from services.common.links import Links
    from services.common.store import MediaStore
    from services.router.plan import Plan


class Answers:
    """Builds answers; knows the store and how to sign."""

    def __init__(self, store: MediaStore, signer: Links) -> None:
        self._store = store
        self._links = signer

    async def images(self, plan: Plan, done: provider.Done, now: float) -> pb.ImagesResponse:
        """The 200 answer. `now` in Unix seconds."""
        data = await asyncio.gather(
            *(self.image(artifact, index, b64_json=plan.b64_json) for index, artifact in enumerate(done.artifacts))
        )
        first = done.artifacts[0].media
        response = pb.ImagesResponse(
            created=int(now),
            data=data,
            model=plan.model.id,
            provider=plan.route.name,
            warnings=[*plan.warnings, *done.warnings, *map(_missing, done.missing)],
            output_format=first.media_type.partition("/")[2],
            size=f"{first.width}x{first.height}",
            quality=plan.task.quality or None,
            background=plan.task.background or None,
        )
        if done.HasField("usage"):
            response.usage.CopyFrom(done.usage)
        cost = price(plan, done)
        if cost is not None:
            response.cost.CopyFrom(cost)
        return response

    async def image(self, artifact: provider.Artifact, index: int, *, b64_json: bool) -> job_pb2.Image:
        """One picture, as link or bytes. `index` names it in the link."""
        media = artifact.media
        image = job_pb2.Image(
            width=media.width,
            height=media.height,
            media_type=media.media_type,
            revised_prompt=artifact.revised_prompt or None,
            seed=artifact.seed if artifact.HasField("seed") else None,
        )
        if b64_json:
            image.b64_json = await self._store.read(media.key)
        else:
            image.url = self.link(media, index)
        return image

    def link(self, media: provider.MediaRef, index: int) -> str:
        """A signed link that lives 24 h."""
        return self._links.sign(media.key, f"{index}.{links.extension_of(media.media_type)}")


def price(plan: Plan, done: provider.Done) -> job_pb2.Cost | None:
    """What the provider says it charged, else the catalog's flat price times the pictures; None when unknown."""
    if done.HasField("cost"):
        return done.cost
    if plan.route.price_per_image is None:
        return None
    amount = round(plan.route.price_per_image * len(done.artifacts), 6)
    return job_pb2.Cost(amount=amount, currency="USD", estimated=True)


def _missing(failed: provider.Failed) -> job_pb2.Warning:
    return job_pb2.Warning(
        code="image_failed", message=f"A picture is missing ({code_of(failed.reason)}): {failed.message}"
    )


def nothing() -> GatewayError:
    """A provider said that it was done and gave no picture."""
    return GatewayError(ErrorReason.ERROR_REASON_PROVIDER_BAD_RESPONSE, "The provider answered without a picture.")
