"""The embedded family: draws in this process, and can take its time as slow providers do."""

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
from imagegateway.media.store import StoreUnavailable
from imagegateway.media.store_retry import POLL_PAUSE, POLL_SECONDS, RESULT_SECONDS, retry_until_available
from imagegateway.platform.errors import REASONS, GatewayError, invalid
from imagegateway.platform.setting_source import SettingError
from imagegateway.provider.v1 import provider_service_pb2 as pb
from imagegateway.providers.kit.error_table import RefusedPart, moderation_failure
from imagegateway.providers.local import sketch
from imagegateway.providers.local.catalog import MODELS
from imagegateway.v1.error_reason_pb2 import ErrorReason
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.media.decoding import DecodeGate
    from imagegateway.media.store import MediaStore
    from imagegateway.platform.settings import Settings
    from imagegateway.providers.kit.family import OnProgress

    Request = pb.StartRequest | pb.PollRequest

POLL_AFTER: Final = 0.25
"""Pause between polls of a slow task when something new is near, in seconds; while it is far, most of the way."""
_MAX_DELAY: Final = 3600.0
_MAX_STEPS: Final = 1000
_LAYERS: Final = 4
"""Layers of the result's size that drawing holds at once."""
_PRINT_SIDE: Final = 640
"""Longest side of an input that is drawn as a small print: 0.3 of 2048 pixels."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `provider_options` can ask of the embedded model.

    `delay`: seconds (0 to 3600) until the picture is there; above 0 the task runs as a slow provider's does.
    `steps`: how many progress steps it reports on the way, 1 to 1000, default 10.
    `fail`: a reason's code; the task ends with that failure instead of a picture.
    """

    delay: float = 0.0
    steps: int = 10
    fail: str = ""

    @classmethod
    def read(cls, task: pb.ImageTask) -> Options:
        """Raises GatewayError naming the option that is unknown or out of range."""
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
    """A task reference: all that another process needs to go on with a slow task."""

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
        """How much of the delay has passed, 0 to 1."""
        if self.options.delay <= 0:
            return 1.0
        return min(1.0, max(0.0, (now - self.began) / self.options.delay))


class LocalFamily:
    """Serves local/sketch.

    `picture`, when given, answers every task with these bytes instead of drawing: benchmarks then measure the
    gateway and not the drawing.
    """

    name = "local"
    models = MODELS

    def __init__(
        self,
        store: MediaStore,
        gate: DecodeGate,
        picture: bytes | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._gate = gate
        self._picture = picture
        self._stored: pb.MediaRef | None = None
        self._clock = clock
        self._sleep = sleep
        self._previews: dict[str, list[pb.Preview]] = {}

    async def start(self, request: pb.StartRequest, on_progress: OnProgress | None = None) -> pb.TaskState:
        """`on_progress` is never called: the previews of a task that takes its time come by polls."""
        task = request.task
        ticket = Ticket(
            began=self._clock(),
            seed=task.seed if task.HasField("seed") else secrets.randbits(32),
            options=Options.read(task),
        )
        if ticket.options.delay > 0:
            return pb.TaskState(running=self._running(ticket, progress=0, wanted=task.partial_images))
        return await self._finish(request, ticket, RESULT_SECONDS)

    async def poll(self, request: pb.PollRequest) -> pb.TaskState:
        """Return how a slow task stands; it goes on while the media store is away."""
        ticket = Ticket.decode(request.task_ref)
        try:
            return await self._standing(request, ticket)
        except StoreUnavailable:
            running = self._running(ticket, progress=0)
            running.ClearField("progress")
            running.poll_after.FromSeconds(round(POLL_PAUSE))
            return pb.TaskState(running=running)

    async def _standing(self, request: pb.PollRequest, ticket: Ticket) -> pb.TaskState:
        fraction = ticket.fraction(self._clock())
        if fraction >= 1:
            self._previews.pop(request.task_ref, None)
            return await self._finish(request, ticket, POLL_SECONDS)
        steps = ticket.options.steps
        wanted = request.task.partial_images
        running = self._running(ticket, progress=int(fraction * steps) * 100 // steps, wanted=wanted)
        if ready := int(fraction * (wanted + 1)):
            if request.task_ref not in self._previews:
                _, previews = await self._draw(request, ticket.seed, POLL_SECONDS)
                self._previews[request.task_ref] = await self._staged(previews, POLL_SECONDS)
            running.partial_images.extend(self._previews[request.task_ref][:ready])
        return pb.TaskState(running=running)

    async def cancel(self, request: pb.CancelRequest) -> bool:
        self._previews.pop(request.task_ref, None)
        return True

    async def close(self) -> None:
        self._previews.clear()

    def _running(self, ticket: Ticket, progress: int, wanted: int = 0) -> pb.Running:
        """`wanted`: previews on the way."""
        running = pb.Running(task_ref=ticket.encode(), progress=progress)
        passed = self._clock() - ticket.began
        steps = (ticket.options.delay / count for count in (ticket.options.steps, wanted + 1))
        due = min(step - passed % step for step in steps)
        # Not the whole way: the engine comes up to a tenth late.
        pause = max(0.02, min(due, max(POLL_AFTER, 0.9 * due)))
        running.poll_after.FromMilliseconds(round(pause * 1000))
        return running

    async def _finish(self, request: Request, ticket: Ticket, store_seconds: float) -> pb.TaskState:
        """Return the drawn task; a store that is away is waited for so long. Raises StoreUnavailable."""
        if ticket.options.fail:
            raise _failure(ticket.options.fail)
        if self._picture is not None:
            self._stored = self._stored or await self._keep(self._picture, store_seconds)
            artifact = pb.Artifact(media=self._stored)
            return pb.TaskState(done=pb.Done(artifacts=[artifact] * request.task.n))
        done = pb.Done()
        for index in range(request.task.n):
            seed = (ticket.seed + index) % (1 << 32)
            picture, previews = await self._draw(request, seed, store_seconds)
            done.artifacts.append(pb.Artifact(media=await self._keep(picture, store_seconds), seed=seed))
            if index == 0:
                done.partial_images.extend(await self._staged(previews, store_seconds))
        return pb.TaskState(done=done)

    async def _draw(self, request: Request, seed: int, store_seconds: float) -> tuple[bytes, list[bytes]]:
        """The encoded picture and its previews."""
        task = request.task
        read = [*task.inputs, *([task.mask] if task.HasField("mask") else [])]
        async with self._gate.admit(_cost(task, read), tenant=request.tenant):
            inputs = [await self._read(ref, store_seconds) for ref in task.inputs]
            mask = await self._read(task.mask, store_seconds) if task.HasField("mask") else None
            return await self._gate.run(lambda: _render(task, seed, inputs, mask))

    async def _staged(self, previews: list[bytes], store_seconds: float) -> list[pb.Preview]:
        return [
            pb.Preview(media=await self._keep(data, store_seconds), index=index)
            for index, data in enumerate(previews)
        ]

    async def _keep(self, data: bytes, store_seconds: float) -> pb.MediaRef:
        facts = images.inspect(data, "image")
        put = partial(self._store.put_result, data)
        stored = await retry_until_available(put, seconds=store_seconds, sleep=self._sleep)
        return stored.reference(facts)

    async def _read(self, ref: pb.MediaRef, store_seconds: float) -> bytes:
        read = partial(self._store.read, ref.key)
        return await retry_until_available(read, seconds=store_seconds, sleep=self._sleep)


def _cost(task: pb.ImageTask, read: list[pb.MediaRef]) -> int:
    """Return the pixels that drawing takes: layers of the result, the first input, and one more at a time."""
    width, height = _size(task)
    pixels = max((decoding_cost(ref.width, ref.height, 0, ref.media_type) for ref in read), default=0)
    files = decoding_cost(0, 0, sum(ref.size for ref in read), "")
    return _LAYERS * width * height + 2 * pixels + files


def _size(task: pb.ImageTask) -> tuple[int, int]:
    return (task.width, task.height) if task.width else MODELS[0].sizes.default


def _open_inputs(inputs: list[bytes]) -> list[Image.Image]:
    """Decode the inputs. The further ones are drawn small, and kept no larger than that."""
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
        picture = sketch.edit(brief, _open_inputs(inputs), Image.open(BytesIO(mask)) if mask else None)
    else:
        picture = sketch.draw(brief)
    format_ = task.output_format or "png"
    compression = task.output_compression if task.HasField("output_compression") else None

    def encode(pixels: Image.Image) -> bytes:
        return sketch.encode(pixels, format_, compression)

    wanted = task.partial_images
    previews = [encode(sketch.preview(picture, step + 1, wanted)) for step in range(wanted)]
    return encode(picture), previews


def _failure(code: str) -> GatewayError:
    try:
        reason = ErrorReason.Value(f"ERROR_REASON_{code.upper()}")
        wait = 1.0 if REASONS[reason].http in {429, 503} else None
    except (ValueError, KeyError):
        return invalid("provider_options.fail", "fail must be the code of an error reason.")
    message = f"local/sketch was asked to fail with {code}."
    if reason == ErrorReason.ERROR_REASON_MODERATION_BLOCKED:
        message = moderation_failure("local/sketch", RefusedPart.PROMPT, may_be_billed=False).message
    return GatewayError(reason, message, retry_after=wait)


def open_family(settings: Settings, store: MediaStore, gate: DecodeGate) -> LocalFamily:
    """The family as the settings want it: IMAGEGATEWAY_LOCAL_PICTURE names a file that answers every task."""
    name = settings.source.text("LOCAL_PICTURE")
    if not name:
        return LocalFamily(store, gate)
    try:
        picture = Path(name).read_bytes()
        images.inspect(picture, "picture")
    except (OSError, GatewayError) as error:
        raise SettingError(f"IMAGEGATEWAY_LOCAL_PICTURE: {error}") from error
    return LocalFamily(store, gate, picture)
