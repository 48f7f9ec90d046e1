"""The embedded family: draws in this process, on request with a delay that simulates slow providers."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.json_format import MessageToDict
from imagegateway.media import images
from imagegateway.media.decoding import decoding_cost
from imagegateway.media.objects import ResultOwner
from imagegateway.media.store import StoreUnavailable
from imagegateway.media.store_retry import POLL_PAUSE, POLL_SECONDS, RESULT_SECONDS, retry_until_available
from imagegateway.platform.errors import REASONS, GatewayError, invalid, reason_of
from imagegateway.platform.setting_source import SettingError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.error_table import RefusedPart, moderation_failure
from imagegateway.providers.local import sketch
from imagegateway.providers.local.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.media.decoding import DecodeBudget
    from imagegateway.media.store import MediaStore
    from imagegateway.platform.settings import Settings
    from imagegateway.providers.kit.family import OnProgress

    Request = pb.StartRequest | pb.PollRequest

POLL_AFTER: Final = 0.25
"""Shortest pause between polls of a slow task, in seconds; most of the time until the next change, if that is longer.
"""
_MAX_DELAY: Final = 3600.0
_MAX_STEPS: Final = 1000
_LAYERS: Final = 4
"""Layers of the result's size that drawing holds in memory at once."""
_PRINT_SIDE: Final = 640
"""Longest side, in pixels, of a further input, which is drawn as a small print: 0.3 of 2048."""


@dataclass(frozen=True, slots=True)
class Options:
    """Provider options of the embedded model.

    `delay`: seconds (0 to 3600) until the image is ready; above 0 the task is polled, as with a slow provider.
    `steps`: number of progress steps that the task reports, 1 to 1000, default 10.
    `fail`: code of a reason; the task fails with this reason instead of an image.
    """

    delay: float = 0.0
    steps: int = 10
    fail: str = ""

    @classmethod
    def read(cls, task: pb.ImageTask) -> Options:
        """Return a task's options. Raises GatewayError naming an option that is unknown or out of range."""
        options = MessageToDict(task.provider_options)
        for name, value in options.items():
            if name not in {"delay", "steps", "fail"}:
                raise invalid(f"provider_options.{name}", f"local/sketch has no option {name!r}.")
            if name != "fail" and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise invalid(f"provider_options.{name}", f"{name} must be a number.")
        delay = float(options.get("delay", 0))
        if not 0 <= delay <= _MAX_DELAY:
            raise invalid("provider_options.delay", "delay must be from 0 to 3600 seconds.")
        steps = float(options.get("steps", 10))
        if steps != int(steps) or not 1 <= steps <= _MAX_STEPS:
            raise invalid("provider_options.steps", "steps must be a whole number from 1 to 1000.")
        return cls(delay=delay, steps=int(steps), fail=str(options.get("fail", "")))


@dataclass(frozen=True, slots=True)
class Ticket:
    """Task reference: all that another process needs to continue a slow task."""

    began: float
    seed: int
    options: Options

    def encode(self) -> str:
        return json.dumps(
            {
                "began": self.began,
                "seed": self.seed,
                "delay": self.options.delay,
                "steps": self.options.steps,
                "fail": self.options.fail,
            }
        )

    @classmethod
    def decode(cls, text: str) -> Ticket:
        data = json.loads(text)
        options = Options(delay=data["delay"], steps=data["steps"], fail=data["fail"])
        return cls(began=data["began"], seed=data["seed"], options=options)

    def fraction(self, now: float) -> float:
        """Return the fraction of the delay that has passed, 0 to 1."""
        if self.options.delay <= 0:
            return 1.0
        return min(1.0, max(0.0, (now - self.began) / self.options.delay))


class LocalFamily:
    """Family of the model local/sketch.

    With `image`, every task returns these bytes instead of a drawing: benchmarks then measure the gateway alone.
    """

    name = "local"
    models = MODELS

    def __init__(
        self,
        store: MediaStore,
        decode_budget: DecodeBudget,
        image: bytes | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._decode_budget = decode_budget
        self._image = image
        self._stored: pb.MediaRef | None = None
        self._clock = clock
        self._sleep = sleep
        self._partial_images: dict[str, list[pb.PartialImage]] = {}

    async def start(self, request: pb.StartRequest, on_progress: OnProgress | None = None) -> pb.TaskState:
        """Start a task. Never calls `on_progress`: polls report the partial images of a slow task."""
        task = request.task
        ticket = Ticket(
            began=self._clock(),
            seed=task.seed if task.HasField("seed") else secrets.randbits(32),
            options=Options.read(task),
        )
        if ticket.options.delay > 0:
            return pb.TaskState(running=self._running(ticket, progress=0, partial_images=task.partial_images))
        return await self._finish(request, ticket, RESULT_SECONDS)

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        """Return the state of a slow task, which continues while the media store is unavailable."""
        ticket = Ticket.decode(request.task_ref)
        try:
            return await self._state(request, ticket)
        except StoreUnavailable:
            running = self._running(ticket, progress=0)
            running.ClearField("progress")
            running.poll_after.FromSeconds(round(POLL_PAUSE))
            return pb.TaskState(running=running)

    async def _state(self, request: pb.PollRequest, ticket: Ticket) -> pb.TaskState:
        fraction = ticket.fraction(self._clock())
        if fraction >= 1:
            self._partial_images.pop(request.task_ref, None)
            return await self._finish(request, ticket, POLL_SECONDS)
        steps = ticket.options.steps
        count = request.task.partial_images
        running = self._running(ticket, progress=int(fraction * steps) * 100 // steps, partial_images=count)
        if ready := int(fraction * (count + 1)):
            if request.task_ref not in self._partial_images:
                _, partial_images = await self._draw(request, ticket.seed, POLL_SECONDS)
                self._partial_images[request.task_ref] = await self._store_partial_images(
                    partial_images, request, POLL_SECONDS
                )
            running.partial_images.extend(self._partial_images[request.task_ref][:ready])
        return pb.TaskState(running=running)

    async def cancel(self, request: pb.CancelRequest) -> bool:
        self._partial_images.pop(request.task_ref, None)
        return True

    async def close(self) -> None:
        self._partial_images.clear()

    def _running(self, ticket: Ticket, progress: int, partial_images: int = 0) -> pb.Running:
        """Return the state of a running task. `partial_images`: number that the task reports in all."""
        running = pb.Running(task_ref=ticket.encode(), progress=progress)
        passed = self._clock() - ticket.began
        steps = (ticket.options.delay / count for count in (ticket.options.steps, partial_images + 1))
        due = min(step - passed % step for step in steps)
        # Only 0.9 of the time until the next step: the worker polls up to a tenth late.
        pause = max(0.02, min(due, max(POLL_AFTER, 0.9 * due)))
        running.poll_after.FromMilliseconds(round(pause * 1000))
        return running

    async def _finish(self, request: Request, ticket: Ticket, store_seconds: float) -> pb.TaskState:
        """Return the finished task. Wait up to `store_seconds` for the store. Raises StoreUnavailable after that."""
        if ticket.options.fail:
            raise _failure(ticket.options.fail)
        if self._image is not None:
            # Stored once, for the first job: benchmarks erase none.
            self._stored = self._stored or await self._store_result(self._image, request, store_seconds)
            artifact = pb.Artifact(media=self._stored)
            return pb.TaskState(done=pb.Done(artifacts=[artifact] * request.task.n))
        done = pb.Done()
        for index in range(request.task.n):
            seed = (ticket.seed + index) % (1 << 32)
            image, partial_images = await self._draw(request, seed, store_seconds)
            media = await self._store_result(image, request, store_seconds)
            done.artifacts.append(pb.Artifact(media=media, seed=seed))
            if index == 0:
                done.partial_images.extend(await self._store_partial_images(partial_images, request, store_seconds))
        return pb.TaskState(done=done)

    async def _draw(self, request: Request, seed: int, store_seconds: float) -> tuple[bytes, list[bytes]]:
        """Return the encoded image and its partial images."""
        task = request.task
        refs = [*task.inputs, *([task.mask] if task.HasField("mask") else [])]
        async with self._decode_budget.admit(_cost(task, refs), tenant=request.tenant):
            inputs = [await self._read(ref, store_seconds) for ref in task.inputs]
            mask = await self._read(task.mask, store_seconds) if task.HasField("mask") else None
            return await self._decode_budget.run(lambda: _render(task, seed, inputs, mask))

    async def _store_partial_images(
        self, partial_images: list[bytes], request: Request, store_seconds: float
    ) -> list[pb.PartialImage]:
        return [
            pb.PartialImage(media=await self._store_result(data, request, store_seconds), index=index)
            for index, data in enumerate(partial_images)
        ]

    async def _store_result(self, data: bytes, request: Request, store_seconds: float) -> pb.MediaRef:
        facts = images.inspect(data, "image")
        put = partial(self._store.put_result, data, ResultOwner.of(request.job_id, request.task))
        stored = await retry_until_available(put, seconds=store_seconds, sleep=self._sleep)
        return stored.reference(facts)

    async def _read(self, ref: pb.MediaRef, store_seconds: float) -> bytes:
        read = partial(self._store.read, ref.key)
        return await retry_until_available(read, seconds=store_seconds, sleep=self._sleep)


def _cost(task: pb.ImageTask, refs: list[pb.MediaRef]) -> int:
    """Return the pixels that drawing holds: layers of the result, the first input, and one other input at a time."""
    width, height = _size(task)
    pixels = max((decoding_cost(ref.width, ref.height, 0, ref.media_type) for ref in refs), default=0)
    files = decoding_cost(0, 0, sum(ref.size for ref in refs), "")
    return _LAYERS * width * height + 2 * pixels + files


def _size(task: pb.ImageTask) -> tuple[int, int]:
    return (task.width, task.height) if task.width else MODELS[0].sizes.default


def _open_inputs(inputs: list[bytes]) -> list[Image.Image]:
    """Decode the inputs, and scale down all but the first, which are drawn as small prints."""
    opened = []
    for index, data in enumerate(inputs):
        image = images.open_pixels(data, "image" if len(inputs) == 1 else f"image[{index}]")
        if index:
            image.thumbnail((_PRINT_SIDE, _PRINT_SIDE), Image.Resampling.LANCZOS)
        opened.append(image)
    return opened


def _render(task: pb.ImageTask, seed: int, inputs: list[bytes], mask: bytes | None) -> tuple[bytes, list[bytes]]:
    width, height = _size(task)
    brief = sketch.Brief(
        prompt=task.prompt,
        width=width,
        height=height,
        seed=seed,
        negative_prompt=task.negative_prompt,
        style=task.style,
        quality=task.quality,
        transparent=task.background == "transparent",
    )
    if inputs:
        image = sketch.edit(brief, _open_inputs(inputs), Image.open(BytesIO(mask)) if mask else None)
    else:
        image = sketch.draw(brief)
    format_ = task.output_format or "png"
    compression = task.output_compression if task.HasField("output_compression") else None

    def encode(pixels: Image.Image) -> bytes:
        return sketch.encode(pixels, format_, compression)

    count = task.partial_images
    partial_images = [encode(sketch.partial_image(image, step + 1, count)) for step in range(count)]
    return encode(image), partial_images


def _failure(code: str) -> GatewayError:
    try:
        reason = reason_of(code)
        wait = 1.0 if REASONS[reason].http in {429, 503} else None
    except (ValueError, KeyError):
        return invalid("provider_options.fail", "fail must be the code of an error reason.")
    message = f"local/sketch fails with {code} as requested."
    if reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
        message = moderation_failure("local/sketch", RefusedPart.PROMPT, may_be_billed=False).message
    return GatewayError(reason, message, retry_after=wait)


def open_family(settings: Settings, store: MediaStore, decode_budget: DecodeBudget) -> LocalFamily:
    """Return the family by the settings: IMAGEGATEWAY_LOCAL_IMAGE names a file that every task returns."""
    name = settings.source.text("LOCAL_IMAGE")
    if not name:
        return LocalFamily(store, decode_budget)
    try:
        image = Path(name).read_bytes()
        images.inspect(image, "image")
    except (OSError, GatewayError) as error:
        raise SettingError(f"IMAGEGATEWAY_LOCAL_IMAGE: {error}") from error
    return LocalFamily(store, decode_budget, image)
