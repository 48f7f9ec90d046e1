"""Continuous traffic of every kind: callers that never retry and record each failure."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import grpc
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc
from openai import OpenAI

from tests.gateway import rest
from tests.gateway.inputs import FORM, file_part, form, image_bytes
from tests.gateway.jobs import wire
from tests.gateway.jobs.calls import Caller
from tests.gateway.rest import EDITS, GENERATIONS, JSON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.stack import Stack

    Call = Callable[[], None]
    """One call. Raises an exception when it fails."""

PAUSE: Final = 0.1
"""Seconds between the calls of one caller: shorter ones take both cores from the parts that start."""


@dataclass(slots=True)
class Rest:
    """Caller on one kept connection."""

    stack: Stack
    connection: http.client.HTTPConnection
    number: int = 0

    def fields(self) -> dict[str, Any]:
        """Return the next generation, which takes up to a second."""
        self.number += 1
        return {
            "model": "local/sketch",
            "prompt": f"wave {self.number}",
            "size": "64x64",
            "provider_options": {"delay": 0.05 + self.number % 5 * 0.2},
        }

    def ask(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        given = {"authorization": f"Bearer {self.stack.key}", **(headers or {})}
        self.connection.request(method, path, body, given)
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status in {200, 202}, f"{answer.status} {text[-300:]!r}"
        return text

    def generate(self) -> None:
        self.ask("POST", GENERATIONS, json.dumps(self.fields()).encode(), JSON)

    def stream(self) -> None:
        text = self.ask("POST", GENERATIONS, json.dumps({**self.fields(), "stream": True}).encode(), JSON)
        assert b".completed" in text, text[-300:]

    def edit(self) -> None:
        fields = self.fields()
        body = form(file_part("image", image_bytes()), model=fields["model"], prompt=fields["prompt"])
        self.ask("POST", EDITS, body, FORM)

    def read(self) -> None:
        self.ask("GET", "/v1/models/local/sketch")


@contextmanager
def connected(stack: Stack) -> Iterator[Rest]:
    with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=60)) as connection:
        yield Rest(stack, connection)


@contextmanager
def generating(stack: Stack) -> Iterator[Call]:
    with connected(stack) as caller:
        yield caller.generate


@contextmanager
def streaming(stack: Stack) -> Iterator[Call]:
    with connected(stack) as caller:
        yield caller.stream


@contextmanager
def editing(stack: Stack) -> Iterator[Call]:
    with connected(stack) as caller:
        yield caller.edit


@contextmanager
def reading(stack: Stack) -> Iterator[Call]:
    with connected(stack) as caller:
        yield caller.read


@contextmanager
def downloading(stack: Stack) -> Iterator[Call]:
    """Fetch one image again and again."""
    made = Caller(stack, stack.key).generate().json()
    path = rest.link(stack, made["data"][0]["url"])
    with connected(stack) as caller:
        size = len(caller.ask("GET", path))

        def fetch() -> None:
            assert len(caller.ask("GET", path)) == size

        yield fetch


@contextmanager
def calling_grpc(stack: Stack) -> Iterator[Call]:
    caller = Caller(stack, stack.key)
    with grpc.insecure_channel(stack.address, options=[("grpc.enable_retries", 0)]) as channel:
        stub = pb_grpc.ImageServiceStub(channel)

        def generate() -> None:
            request = wire.small(provider_options={"delay": 0.3})
            assert stub.Generate(request, metadata=wire.metadata(caller), timeout=wire.SECONDS).data

        yield generate


@contextmanager
def calling_by_sdk(stack: Stack) -> Iterator[Call]:
    """Call a provider that bills each call, so that nothing may be called twice."""
    with OpenAI(base_url=f"{stack.url}/v1", api_key=stack.key, max_retries=0) as client:

        def generate() -> None:
            assert client.images.generate(model="openai/gpt-image-1", prompt="a boat", size="1024x1024").data

        yield generate


KINDS: Final = (
    (generating, 2),
    (streaming, 2),
    (editing, 2),
    (reading, 4),
    (downloading, 1),
    (calling_grpc, 2),
    (calling_by_sdk, 2),
)
"""Kinds of traffic with their numbers of callers."""


@dataclass(slots=True)
class Traffic:
    """Callers in threads, with counts of their calls and their failures."""

    stack: Stack
    stop: threading.Event = field(default_factory=threading.Event)
    answered: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def run(self, kind: Callable[[Stack], Any]) -> None:
        """Call until `stop`. A failure ends the caller."""
        name = kind.__name__
        try:
            with kind(self.stack) as call:
                while not self.stop.wait(PAUSE):
                    call()
                    self.answered[name] += 1
        except Exception as error:  # noqa: BLE001  the test shows each of them
            self.failures.append(f"{name}: {error!r}")


@contextmanager
def traffic(stack: Stack) -> Iterator[Traffic]:
    """Yield running traffic, which ends with the context."""
    running = Traffic(stack)
    threads = [threading.Thread(target=running.run, args=(kind,)) for kind, count in KINDS for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.stop.set()
        for thread in threads:
            thread.join()
