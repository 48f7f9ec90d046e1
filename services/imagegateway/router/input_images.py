"""Input images of an edit: fetched or received, checked and stored.

An edit that fails leaves no image in the store.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from google.protobuf.struct_pb2 import Value
from imagegateway.jobs.cleanup import delete_inputs
from imagegateway.media import images
from imagegateway.media.decoding import decoding_cost
from imagegateway.media.images import MAX_FILE_BYTES
from imagegateway.media.store import TooLarge
from imagegateway.outbound import image_fetch
from imagegateway.platform.errors import GatewayError, invalid, invalid_image, missing
from imagegateway.providers.catalog import Capability
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from imagegateway.media.decoding import DecodeBudget
    from imagegateway.media.store import MediaStore, Upload
    from imagegateway.outbound.client import Outbound
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.router.validation.plan import Plan
    from imagegateway.v1 import image_service_pb2 as pb

MAX_IMAGES: Final = 16
CONCURRENT_FETCHES: Final = 4
"""Maximum number of concurrent fetches of one edit."""
FETCH_SECONDS: Final = 60.0
"""Timeout for all inputs of an edit together, in seconds. Each fetch has its own timeout, too."""
DECODE_SECONDS: Final = 30.0
"""Timeout of the wait for memory to decode a mask, in seconds."""
_IMAGE_PARAM: Final = "image"


class InputRole(StrEnum):
    """Roles of input images, as callers name their fields."""

    IMAGE = "image"
    MASK = "mask"
    MARKUP = "markup"


@dataclass(frozen=True, slots=True)
class InputImage:
    """A checked image in the store. `param`: the request field that brought it."""

    param: str
    ref: provider.MediaRef
    facts: images.ImageInfo


@dataclass(frozen=True, slots=True)
class _Source:
    """Image of a request: its role, its field, and its bytes or URL."""

    role: InputRole
    param: str
    data: str | bytes


class InputImages:
    """Context that collects the inputs of a tenant's edit. Its end deletes them, unless `release` was called."""

    def __init__(self, store: MediaStore, outbound: Outbound, decode_budget: DecodeBudget, tenant: str) -> None:
        self._store = store
        self._outbound = outbound
        self._decode_budget = decode_budget
        self._tenant = tenant
        self._images: list[InputImage] = []
        self._guides: dict[InputRole, InputImage] = {}
        """The mask and the markup, by role: an edit has at most one of each."""
        self._owned_keys: list[str] = []
        """Store keys of everything taken in, until `release`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owned_keys:
            await asyncio.shield(delete_inputs(self._store, self._owned_keys))

    def release(self) -> list[str]:
        """Return the store keys of all inputs. From now on, the caller owns them."""
        keys, self._owned_keys = self._owned_keys, []
        return keys

    def has_guide(self, request: pb.EditRequest, role: InputRole) -> bool:
        """Return True when the request or an uploaded file brings a mask or a markup."""
        return role in self._guides or bool(_guide_sources(request, role))

    def open_file(self, role: InputRole) -> InputUpload:
        """Return the upload of a file in a role."""
        if role is not InputRole.IMAGE:
            return InputUpload(self, self._store, role, role.value)
        if len(self._images) >= MAX_IMAGES:
            raise too_many_images(_IMAGE_PARAM)
        index = len(self._images)
        return InputUpload(self, self._store, InputRole.IMAGE, f"image[{index}]" if index else _IMAGE_PARAM)

    async def take_request(self, request: pb.EditRequest) -> None:
        """Take in the images that a request holds or names by URL. Raises GatewayError naming the field."""
        urls = [("image_url", request.image_url)] if request.image_url else []
        urls += [(f"images[{index}]", _url(value, f"images[{index}]")) for index, value in enumerate(request.images)]
        if len(self._images) + len(urls) + len(request.image_content) > MAX_IMAGES:
            raise too_many_images("images")
        guides = {role: _guide_sources(request, role) for role in (InputRole.MASK, InputRole.MARKUP)}
        for role, found in guides.items():
            if len(found) + (role in self._guides) > 1:
                raise invalid(role.value, f"Send one {role}.")
        sources = [_Source(InputRole.IMAGE, param, url) for param, url in urls]
        sources += [
            _Source(InputRole.IMAGE, f"image_content[{index}]", data)
            for index, data in enumerate(request.image_content)
        ]
        sources += [_Source(role, param, data) for role, found in guides.items() for param, data in found]
        for source, image in zip(sources, await self._take_all(sources), strict=True):
            self.add(source.role, image)

    async def attach_to(self, plan: Plan) -> None:
        """Set the plan's inputs, its normalised mask and its markup.

        Raises GatewayError for too few or too many inputs and for a mask or a markup of another size than the first
        input; OVERLOADED when the mask waits over 30 s for memory.
        """
        if not self._images:
            raise missing(_IMAGE_PARAM, "image is required: send a file, image_url or images.")
        if len(self._images) > plan.model.max_inputs:
            raise invalid(
                _IMAGE_PARAM, f"{plan.model.id} takes {plan.model.max_inputs} images, not {len(self._images)}."
            )
        plan.task.inputs.extend(image.ref for image in self._images)
        first = self._images[0].facts
        size = (first.width, first.height)
        if mask := self._guides.get(InputRole.MASK):
            plan.task.mask.CopyFrom(await self._normalise(mask, size))
        if (markup := self._guides.get(InputRole.MARKUP)) and plan.model.supports(Capability.MARKUP):
            images.check_size(markup.facts, size, markup.param)
            if markup.facts.media_type != "image/png" or not markup.facts.alpha:
                raise invalid_image(markup.param, f"{markup.param} must be a PNG with transparent pixels.")
            plan.task.markup.CopyFrom(markup.ref)

    async def _take_all(self, sources: list[_Source]) -> list[InputImage]:
        """Return the inputs in order, taken in concurrently. The first failure cancels the others."""
        slots = asyncio.Semaphore(CONCURRENT_FETCHES)

        async def take(source: _Source) -> InputImage:
            async with slots:
                return await self._take(source)

        try:
            async with asyncio.timeout(FETCH_SECONDS), asyncio.TaskGroup() as group:
                tasks = [group.create_task(take(source)) for source in sources]
        except TimeoutError:
            raise GatewayError(
                ErrorReason.ERROR_REASON_INVALID_IMAGE_URL,
                f"The images can't be fetched: they did not arrive within {FETCH_SECONDS:g} s in all.",
                param="images",
            ) from None
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _take(self, source: _Source) -> InputImage:
        upload = InputUpload(self, self._store, source.role, source.param)
        try:
            if isinstance(source.data, bytes):
                await upload.write(source.data)
            else:
                await image_fetch.fetch_image(
                    self._outbound,
                    source.data,
                    source.param,
                    upload.write,
                    max_bytes=MAX_FILE_BYTES,
                    tenant=self._tenant,
                )
            return await upload.close()
        except BaseException:
            await upload.abort()
            raise

    async def _normalise(self, mask: InputImage, size: tuple[int, int]) -> provider.MediaRef:
        """Return the stored result of `images.normalise_mask`."""
        facts, param = mask.facts, mask.param
        images.check_size(facts, size, param)  # before the wait for memory
        cost = decoding_cost(facts.width, facts.height, mask.ref.size, facts.media_type)
        async with self._decode_budget.admit(cost, tenant=self._tenant, seconds=DECODE_SECONDS):
            data = await self._store.read(mask.ref.key)
            made = await self._decode_budget.run(lambda: images.normalise_mask(data, facts, size, param))
            return await self._store_bytes(made, images.ImageInfo("image/png", *size, alpha=False))

    async def _store_bytes(self, data: bytes, facts: images.ImageInfo) -> provider.MediaRef:
        async with self._store.upload(len(data)) as upload:
            await upload.write(data)
            stored = await upload.finish()
        self._owned_keys.append(stored.key)
        return stored.reference(facts)

    async def check(self, param: str, upload: Upload) -> InputImage:
        """Finish an upload, and return the checked image. Raises GatewayError INVALID_IMAGE."""
        stored = await upload.finish()
        self._owned_keys.append(stored.key)
        facts = await self._store.apply(stored.key, lambda data: images.inspect(data, param))
        return InputImage(param, stored.reference(facts), facts)

    def add(self, role: InputRole, image: InputImage) -> None:
        """Add an input. Raises GatewayError for a second mask or markup."""
        if role is InputRole.IMAGE:
            self._images.append(image)
        elif role in self._guides:
            raise invalid(image.param, f"Send one {role}.")
        else:
            self._guides[role] = image


class InputUpload:
    """Upload of one file to the store. The size limit holds while it runs."""

    def __init__(self, inputs: InputImages, store: MediaStore, role: InputRole, param: str) -> None:
        self._inputs = inputs
        self._role = role
        self._param = param
        self._upload = store.upload(MAX_FILE_BYTES)

    async def write(self, data: bytes | memoryview) -> None:
        """Write a piece. Raises GatewayError FILE_TOO_LARGE as soon as the file exceeds 26,214,400 bytes."""
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

    async def close(self) -> InputImage:
        """Return the input. Raises GatewayError INVALID_IMAGE for anything but a whole PNG, JPEG or WebP."""
        try:
            return await self._inputs.check(self._param, self._upload)
        except BaseException:
            await self.abort()
            raise

    async def finish(self) -> None:
        """Close the file, and add it to the edit's inputs. Raises as `close` does."""
        self._inputs.add(self._role, await self.close())

    async def abort(self) -> None:
        """Discard an unfinished upload."""
        await self._upload.__aexit__(None, None, None)


def too_many_images(param: str) -> GatewayError:
    """Return the error of an edit with more than `MAX_IMAGES` images."""
    return invalid(param, f"An edit takes at most {MAX_IMAGES} images.")


def _guide_sources(request: pb.EditRequest, role: InputRole) -> list[tuple[str, str | bytes]]:
    """Return the fields that bring a mask or a markup, each with its URL or bytes. A null counts as absent."""
    found: list[tuple[str, str | bytes]] = []
    if role is InputRole.MASK:
        url, value = request.mask_url, request.mask
        content = request.mask_content if request.HasField("mask_content") else None
    else:
        url, value = request.markup_url, request.markup
        content = request.markup_content if request.HasField("markup_content") else None
    if url:
        found.append((f"{role}_url", url))
    if value.WhichOneof("kind") not in {None, "null_value"} and value != Value(string_value=""):
        found.append((role.value, _url(value, role.value)))
    if content is not None:
        found.append((f"{role}_content", content))
    return found


def _url(value: Value, param: str) -> str:
    source = value.struct_value.fields.get("image_url", value)
    if source.WhichOneof("kind") != "string_value" or not source.string_value:
        raise invalid_image(param, f'{param} must be a URL, or an object {{"image_url": "<URL>"}}.')
    return source.string_value
