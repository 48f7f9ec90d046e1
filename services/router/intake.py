"""The pictures that an edit brings: taken in by any way, checked, kept in the store; or nothing is left behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from google.protobuf.json_format import MessageToDict
from imagegateway.v1.error_reason_pb2 import ErrorReason

from services.common import images, inputs
from services.common.errors import GatewayError, invalid, invalid_image, missing
from services.common.images import MAX_FILE_BYTES
from services.common.references import reference
from services.common.store import TooLarge

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from google.protobuf.struct_pb2 import Value
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.v1 import image_service_pb2 as pb

    from services.common.outbound import Outbound
    from services.common.store import MediaStore, Upload
    from services.router.plan import Plan

MAX_IMAGES: Final = 16
IMAGE: Final = "image"
MASK: Final = "mask"


class Intake:
    """Collects an edit's inputs. Leaving the context deletes those that no job has taken over."""

    def __init__(self, store: MediaStore, outbound: Outbound) -> None:
        self._store = store
        self._outbound = outbound
        self._images: list[tuple[str, provider.MediaRef]] = []
        self._mask: tuple[str, provider.MediaRef, images.Facts] | None = None
        self._kept: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kept:
            await asyncio.shield(self._store.delete(self._kept))

    def hand_over(self) -> list[str]:
        """Return the store keys of everything taken in: they are the receiver's from here on."""
        kept, self._kept = self._kept, []
        return kept

    @property
    def has_mask(self) -> bool:
        return self._mask is not None

    def open_file(self, role: str) -> FileSink:
        """Begin a file that streams in as an input picture (`IMAGE`) or the mask (`MASK`)."""
        if role == MASK:
            return FileSink(self, self._store, MASK, MASK)
        if len(self._images) >= MAX_IMAGES:
            raise invalid(IMAGE, f"An edit takes at most {MAX_IMAGES} pictures.")
        index = len(self._images)
        return FileSink(self, self._store, IMAGE, f"image[{index}]" if index else IMAGE)

    async def take_request(self, request: pb.EditRequest) -> None:
        """Fetch and store what a typed request names or holds. Raises GatewayError naming the field."""
        urls = [("image_url", request.image_url)] if request.image_url else []
        urls += [(f"images[{index}]", _url(value, f"images[{index}]")) for index, value in enumerate(request.images)]
        masks = [("mask_url", request.mask_url)] if request.mask_url else []
        if request.HasField("mask"):
            masks.append((MASK, _url(request.mask, MASK)))
        if len(masks) + request.HasField("mask_content") + self.has_mask > 1:
            raise invalid(MASK, "Send one mask.")
        if len(self._images) + len(urls) + len(request.image_content) > MAX_IMAGES:
            raise invalid("images", f"An edit takes at most {MAX_IMAGES} pictures.")
        for param, url in urls:
            await self._put(await self._fetch(url, param), IMAGE, param)
        for index, data in enumerate(request.image_content):
            await self._put(data, IMAGE, f"image_content[{index}]")
        for param, url in masks:
            await self._put(await self._fetch(url, param), MASK, param)
        if request.HasField("mask_content"):
            await self._put(request.mask_content, MASK, "mask_content")

    async def settle(self, plan: Plan) -> None:
        """Give the plan its inputs and its normalised mask. Raises GatewayError for too few, too many, or a mask
        of another size.
        """
        if not self._images:
            raise missing(IMAGE, "image is required: send a file, image_url or images.")
        if len(self._images) > plan.model.max_inputs:
            raise invalid(IMAGE, f"{plan.model.id} takes {plan.model.max_inputs} pictures, not {len(self._images)}.")
        plan.task.inputs.extend(ref for _, ref in self._images)
        if self._mask is None:
            return
        param, ref, facts = self._mask
        first = plan.task.inputs[0]
        data = await self._store.read(ref.key)
        mask = await asyncio.to_thread(images.normalise_mask, data, facts, (first.width, first.height), param)
        plan.task.mask.CopyFrom(await self._store_bytes(mask, param))

    async def _fetch(self, url: str, param: str) -> bytes:
        return await inputs.fetch_image(self._outbound, url, param, MAX_FILE_BYTES)

    async def _put(self, data: bytes, role: str, param: str) -> None:
        sink = FileSink(self, self._store, role, param)
        await sink.write(data)
        await sink.finish()

    async def _store_bytes(self, data: bytes, param: str) -> provider.MediaRef:
        facts = images.inspect(data, param)
        async with self._store.upload(len(data)) as upload:
            await upload.write(data)
            stored = await upload.finish()
        self._kept.append(stored.key)
        return reference(stored, facts)

    async def accept(self, role: str, param: str, upload: Upload) -> None:
        """Close an upload, check what came, and remember it."""
        stored = await upload.finish()
        self._kept.append(stored.key)
        facts = await self._store.apply(stored.key, lambda data: images.inspect(data, param))
        ref = reference(stored, facts)
        if role == MASK:
            if self._mask is not None:
                raise invalid(param, "Send one mask.")
            self._mask = (param, ref, facts)
        else:
            self._images.append((param, ref))


class FileSink:
    """One file on its way into the store; counted, so that the limit holds while the upload still runs."""

    def __init__(self, intake: Intake, store: MediaStore, role: str, param: str) -> None:
        self._intake = intake
        self._role = role
        self._param = param
        self._upload = store.upload(MAX_FILE_BYTES)

    async def write(self, data: bytes | memoryview) -> None:
        """Raises GatewayError FILE_TOO_LARGE as soon as the file passes 26,214,400 bytes."""
        try:
            await self._upload.write(data)
        except TooLarge:
            await self.abort()
            raise GatewayError(
                ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
                f"{self._param} is over {MAX_FILE_BYTES} bytes (25 MiB).",
                param=self._param,
            ) from None
        except BaseException:
            await self.abort()
            raise

    async def finish(self) -> None:
        """Raises GatewayError INVALID_IMAGE for what is not a whole PNG, JPEG or WebP."""
        try:
            await self._intake.accept(self._role, self._param, self._upload)
        except BaseException:
            await self.abort()
            raise

    async def abort(self) -> None:
        """Leave nothing of an unfinished upload."""
        await self._upload.__aexit__(None, None, None)


def _url(value: Value, param: str) -> str:
    found = MessageToDict(value)
    url = found.get("image_url") if isinstance(found, dict) else found
    if not isinstance(url, str) or not url:
        raise invalid_image(param, f'{param} must be a URL, or an object {{"image_url": "<URL>"}}.')
    return url
