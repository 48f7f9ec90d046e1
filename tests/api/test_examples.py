"""Examples of the API description: the gateway answers each of them with the described status, headers and body."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import jsonschema
import pytest
from imagegateway.media.web import openapi
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.gateway.inputs import FORM, file_part, form, image_bytes
from tests.gateway.rest import Answer, ask, link
from tools.openapi import admin_examples, examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Stack
    from tools.openapi.examples import Example

DOCUMENT: Final = openapi.load()
OPERATIONS: Final = {
    operation["operationId"]: (verb, path, operation)
    for path, verbs in DOCUMENT["paths"].items()
    for verb, operation in verbs.items()
}
EXAMPLES: Final = [
    (name, example)
    for name, several in {**examples.EXAMPLES, **admin_examples.EXAMPLES}.items()
    for example in several
]


REGISTRY: Final = Registry().with_resource("urn:api", DRAFT202012.create_resource(DOCUMENT))


def faults(pointer: str, value: Any) -> list[str]:
    """Return the differences of a value from a schema of the document."""
    validator = jsonschema.Draft202012Validator({"$ref": f"urn:api#{quote(pointer)}"}, registry=REGISTRY)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


class Session:
    """Ids of the jobs and keys of earlier examples."""

    def __init__(self, webhook_url: str) -> None:
        self.webhook_url = webhook_url
        self.ids: dict[str, str] = {}

    def path(self, path: str, example: Example) -> str:
        """Return the path of an example, with the ids of earlier ones."""
        for name, value in (example.path | {k: v for k, v in self.ids.items() if k in example.path}).items():
            path = path.replace(f"{{{name}}}", quote(value))
        return f"{path}?{urlencode(example.query)}" if example.query else path


class Receiver(BaseHTTPRequestHandler):
    """Receiver of webhooks."""

    def do_POST(self) -> None:
        """Respond with 204."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name of the base class
        """Write no log."""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """Yield the session of all examples."""
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Session(f"http://127.0.0.1:{server.server_port}/hook")
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[f"{name}-{each.name}" for name, each in EXAMPLES])
def test_example_is_answered_as_described(gateway: Stack, session: Session, name: str, example: Example) -> None:
    verb, path, operation = OPERATIONS[name]
    if name == "RedeliverWebhook":
        body = {"model": "local/sketch", "prompt": "a fox", "size": "64x64", "webhook_url": session.webhook_url}
        session.ids["job_id"] = ask(gateway, "POST", "/v1/images/generations", body).json()["id"]
    answer = send(gateway, verb, session.path(path, example), example)
    assert answer.status == example.status, answer.body[:500]
    described = operation["responses"][str(example.status)]
    for header, part in described.get("headers", {}).items():
        if DOCUMENT["components"]["headers"][part["$ref"].rpartition("/")[2]].get("required"):
            assert header in answer.headers
    media_type = answer.headers.get_content_type()
    content = described["content"]
    assert media_type in content or "*/*" in content
    steps = ("paths", path, verb, "responses", str(example.status), "content", media_type, "schema")
    pointer = "".join(f"/{step.replace('/', '~1')}" for step in steps)
    if media_type == "application/json":
        assert faults(pointer, answer.json()) == []
        remember(session, name, answer.json())
    elif media_type == "text/event-stream":
        branches = [branch["properties"]["event"]["const"] for branch in content[media_type]["schema"]["anyOf"]]
        for event in events(answer.body.decode()):
            branch = f"{pointer}/anyOf/{branches.index(event['event'])}"
            assert faults(branch, event) == []
            assert faults(f"{branch}/properties/data/contentSchema", json.loads(event["data"])) == []


def send(gateway: Stack, verb: str, path: str, example: Example) -> Answer:
    """Send the request of an example."""
    if example.form is None:
        return ask(gateway, verb.upper(), path, example.body, example.headers)
    body = form(file_part("image", image_bytes()), **example.form)
    return ask(gateway, verb.upper(), path, body, {**FORM, **example.headers})


def remember(session: Session, name: str, body: dict[str, Any]) -> None:
    """Keep the ids that later examples need."""
    if name == "Generate" and body.get("data"):
        session.ids["job_id"] = body["id"]
    if name == "AdminCreateKey":
        session.ids["id"] = body["id"]


def events(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each event of a stream, without comments."""
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            yield fields


def test_link_of_an_image_is_served_as_described(gateway: Stack) -> None:
    body = {"model": "local/sketch", "prompt": "a fox", "size": "64x64"}
    url = ask(gateway, "POST", "/v1/images/generations", body).json()["data"][0]["url"]
    described = OPERATIONS["GetMedia"][2]["responses"]
    for headers, status in (({}, "200"), ({"range": "bytes=0-9"}, "206")):
        answer = ask(gateway, "GET", link(gateway, url), headers=headers, key="")
        assert str(answer.status) == status
        assert described[status]["headers"].keys() <= {name.title() for name in answer.headers} | {"ETag"}
        assert answer.headers.get_content_type() in described[status]["content"]
