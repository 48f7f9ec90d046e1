"""Input images of an edit: taken in by any way, checked, kept in the store; or nothing is left behind."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.protobuf.struct_pb2 import Value
from imagegateway.jobs.cleanup import delete_inputs
from imagegateway.media import images
from imagegateway.media.decoding import decoding_cost
from imagegateway.media.images import MAX_FILE_BYTES
from imagegateway.media.references import reference
from imagegateway.media.store import TooLarge
from imagegateway.outbound import image_fetch
from imagegateway.platform.errors import GatewayError, invalid, invalid_image, missing
from imagegateway.providers.catalog import Capability
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from imagegateway.media.decoding import DecodeGate
    from imagegateway.media.store import MediaStore, Upload
    from imagegateway.outbound.client import Outbound
    from imagegateway.provider.v1 import provider_service_pb2 as provider
    from imagegateway.router.validation import Plan
    from imagegateway.v1 import image_service_pb2 as pb

MAX_IMAGES: Final = 16
FETCHES_AT_ONCE: Final = 4
"""Input URLs of one edit that are fetched side by side."""
FETCH_ALL_SECONDS: Final = 60.0
"""Longest that all inputs of an edit may take to arrive; each has a limit of its own."""
DECODE_SECONDS: Final = 30.0
"""Longest that an edit waits for room to decode its mask, in seconds."""
IMAGE: Final = "image"
MASK: Final = "mask"
MARKUP: Final = "markup"


@dataclass(frozen=True, slots=True)
class Input:
    """A checked image, and the field that brought it."""

    param: str
    ref: provider.MediaRef
    facts: images.Facts


class Intake:
    """Collects the inputs of a tenant's edit. Leaving the context deletes those that no job has taken over."""

    def __init__(self, store: MediaStore, outbound: Outbound, gate: DecodeGate, tenant: str) -> None:
        self._store = store
        self._outbound = outbound
        self._gate = gate
        self._tenant = tenant
        self._images: list[Input] = []
        self._guides: dict[str, Input] = {}
        """The mask and the markup, by role: an edit has at most one of each."""
        self._kept: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kept:
            await asyncio.shield(delete_inputs(self._store, self._kept))

    def hand_over(self) -> list[str]:
        """Return the store keys of everything taken in: they are the receiver's from here on."""
        kept, self._kept = self._kept, []
        return kept

    def brings(self, request: pb.EditRequest, role: str) -> bool:
        """Return whether a request or a file before it brings a mask (`MASK`) or a markup (`MARKUP`)."""
        return role in self._guides or bool(_sources(request, role))

    def open_file(self, role: str) -> FileSink:
        """Begin a file that streams in as an input image (`IMAGE`), the mask (`MASK`) or the markup (`MARKUP`)."""
        if role != IMAGE:
            return FileSink(self, self._store, role, role)
        if len(self._images) >= MAX_IMAGES:
            raise too_many_images(IMAGE)
        index = len(self._images)
        return FileSink(self, self._store, IMAGE, f"image[{index}]" if index else IMAGE)

    async def take_request(self, request: pb.EditRequest) -> None:
        """Fetch and store what a typed request names or holds. Raises GatewayError naming the field."""
        urls = [("image_url", request.image_url)] if request.image_url else []
        urls += [(f"images[{index}]", _url(value, f"images[{index}]")) for index, value in enumerate(request.images)]
        if len(self._images) + len(urls) + len(request.image_content) > MAX_IMAGES:
            raise too_many_images("images")
        guides = {role: _sources(request, role) for role in (MASK, MARKUP)}
        for role, sources in guides.items():
            if len(sources) + (role in self._guides) > 1:
                raise invalid(role, f"Send one {role}.")
        wanted: list[tuple[str, str, str | bytes]] = [(IMAGE, param, url) for param, url in urls]
        wanted += [(IMAGE, f"image_content[{index}]", data) for index, data in enumerate(request.image_content)]
        wanted += [(role, param, source) for role, sources in guides.items() for param, source in sources]
        for (role, _, _), taken in zip(wanted, await self._take_all(wanted), strict=True):
            self.add(role, taken)

    async def settle(self, plan: Plan) -> None:
        """Give the plan its inputs, its normalised mask and its markup.

        Raises GatewayError for too few, too many, or a mask or markup that does not fit the first input, and
        OVERLOADED when other masks are being decoded for 30 s.
        """
        if not self._images:
            raise missing(IMAGE, "image is required: send a file, image_url or images.")
        if len(self._images) > plan.model.max_inputs:
            raise invalid(IMAGE, f"{plan.model.id} takes {plan.model.max_inputs} images, not {len(self._images)}.")
        plan.task.inputs.extend(image.ref for image in self._images)
        first = self._images[0].facts
        size = (first.width, first.height)
        if mask := self._guides.get(MASK):
            plan.task.mask.CopyFrom(await self._normalise(mask, size))
        if (markup := self._guides.get(MARKUP)) and plan.model.supports(Capability.MARKUP):
            images.check_size(markup.facts, size, markup.param)
            if markup.facts.media_type != "image/png" or not markup.facts.alpha:
                raise invalid_image(markup.param, f"{markup.param} must be a PNG with transparent pixels.")
            plan.task.markup.CopyFrom(markup.ref)

    async def _take_all(self, wanted: list[tuple[str, str, str | bytes]]) -> list[Input]:
        """Fetch and store inputs side by side, and return them in order; the first failure ends the others."""
        places = asyncio.Semaphore(FETCHES_AT_ONCE)

        async def take(role: str, param: str, source: str | bytes) -> Input:
            async with places:
                return await self._take(role, param, source)

        try:
            async with asyncio.timeout(FETCH_ALL_SECONDS), asyncio.TaskGroup() as group:
                tasks = [group.create_task(take(*one)) for one in wanted]
        except TimeoutError:
            raise GatewayError(
                ErrorReason.ERROR_REASON_INVALID_IMAGE_URL,
                f"The images can't be fetched: they did not arrive within {FETCH_ALL_SECONDS:g} s in all.",
                param="images",
            ) from None
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _take(self, role: str, param: str, source: str | bytes) -> Input:
        sink = FileSink(self, self._store, role, param)
        try:
            if isinstance(source, bytes):
                await sink.write(source)
            else:
                await image_fetch.fetch_image(
                    self._outbound, source, param, sink.write, max_bytes=MAX_FILE_BYTES, tenant=self._tenant
                )
            return await sink.close()
        except BaseException:
            await sink.abort()
            raise

    async def _normalise(self, mask: Input, size: tuple[int, int]) -> provider.MediaRef:
        """Store the mask as `images.normalise_mask` makes it."""
        facts, param = mask.facts, mask.param
        images.check_size(facts, size, param)  # before it takes a place
        cost = decoding_cost(facts.width, facts.height, mask.ref.size, facts.media_type)
        async with self._gate.admit(cost, tenant=self._tenant, seconds=DECODE_SECONDS):
            data = await self._store.read(mask.ref.key)
            made = await self._gate.run(lambda: images.normalise_mask(data, facts, size, param))
            return await self._store_bytes(made, images.Facts("image/png", *size, alpha=False))

    async def _store_bytes(self, data: bytes, facts: images.Facts) -> provider.MediaRef:
        async with self._store.upload(len(data)) as upload:
            await upload.write(data)
            stored = await upload.finish()
        self._kept.append(stored.key)
        return reference(stored, facts)

    async def check(self, param: str, upload: Upload) -> Input:
        """Close an upload and inspect what came. Raises GatewayError INVALID_IMAGE."""
        stored = await upload.finish()
        self._kept.append(stored.key)
        facts = await self._store.apply(stored.key, lambda data: images.inspect(data, param))
        return Input(param, reference(stored, facts), facts)

    def add(self, role: str, image: Input) -> None:
        """Remember an input. Raises GatewayError for a second mask or markup."""
        if role == IMAGE:
            self._images.append(image)
        elif role in self._guides:
            raise invalid(image.param, f"Send one {role}.")
        else:
            self._guides[role] = image


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

    async def close(self) -> Input:
        """Return the input. Raises GatewayError INVALID_IMAGE for what is not a whole PNG, JPEG or WebP."""
        try:
            return await self._intake.check(self._param, self._upload)
        except BaseException:
            await self.abort()
            raise

    async def finish(self) -> None:
        """Close the file and add it to the edit's inputs. Raises as `close`."""
        self._intake.add(self._role, await self.close())

    async def abort(self) -> None:
        """Leave nothing of an unfinished upload."""
        await self._upload.__aexit__(None, None, None)


def too_many_images(param: str) -> GatewayError:
    """Return the refusal of an edit of more than `MAX_IMAGES` images."""
    return invalid(param, f"An edit takes at most {MAX_IMAGES} images.")


def _sources(request: pb.EditRequest, role: str) -> list[tuple[str, str | bytes]]:
    """Return the fields that bring a mask or a markup, each with its URL or bytes. A null counts as not sent."""
    found: list[tuple[str, str | bytes]] = []
    if role == MASK:
        url, value = request.mask_url, request.mask
        content = request.mask_content if request.HasField("mask_content") else None
    else:
        url, value = request.markup_url, request.markup
        content = request.markup_content if request.HasField("markup_content") else None
    if url:
        found.append((f"{role}_url", url))
    if value.WhichOneof("kind") not in {None, "null_value"} and value != Value(string_value=""):
        found.append((role, _url(value, role)))
    if content is not None:
        found.append((f"{role}_content", content))
    return found


def _url(value: Value, param: str) -> str:
    named = value.struct_value.fields.get("image_url", value)
    if named.WhichOneof("kind") != "string_value" or not named.string_value:
        raise invalid_image(param, f'{param} must be a URL, or an object {{"image_url": "<URL>"}}.')
    return named.string_value
