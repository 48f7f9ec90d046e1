"""MCP's tools over a scripted API: arguments, results, errors, idempotency."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from imagegateway.mcp import api

from tests.mcp.fake_gateway import JOB, KEY, PNG, FakeGateway, connected, error, image, job

if TYPE_CHECKING:
    from mcp_types import CallToolResult

TOOLS = [
    "generate_image",
    "edit_image",
    "generate_video",
    "wait_for_job",
    "get_job",
    "cancel_job",
    "list_models",
]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_PAUSES", (0.0, 0.0, 0.0))


def text_of(result: CallToolResult) -> str:
    """Return the text of a result, which is its first content."""
    assert result.content[0].type == "text"
    return result.content[0].text


async def test_tools_have_schemas_in_which_every_argument_is_described() -> None:
    async with connected(FakeGateway()) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == TOOLS
    for tool in tools:
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        assert tool.output_schema
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)
        assert tool.description
        for name, schema in tool.input_schema["properties"].items():
            assert schema["description"].endswith("."), (tool.name, name)


async def test_schemas_are_short_with_required_arguments_first() -> None:
    async with connected(FakeGateway()) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    for tool in tools.values():
        written = json.dumps([tool.input_schema, tool.output_schema])
        assert '"title"' not in written
        assert "null" not in written
    assert next(iter(tools["generate_image"].input_schema["properties"])) == "prompt"
    assert next(iter(tools["edit_image"].input_schema["properties"])) == "images"


async def test_argument_that_is_null_counts_as_absent() -> None:
    gateway = FakeGateway()
    async with connected(gateway) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite", "seed": None})
    assert not result.is_error
    assert gateway.bodies() == [{"prompt": "a kite"}]


async def test_generated_image_is_inline_linked_and_structured() -> None:
    gateway = FakeGateway()
    async with connected(gateway) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite", "size": "64x32", "n": 1})
    assert not result.is_error
    assert [block.type for block in result.content] == ["text", "image", "resource_link"]
    assert result.content[1].type == "image"
    assert base64.b64decode(result.content[1].data) == PNG
    assert result.content[1].mime_type == "image/png"
    assert result.content[2].type == "resource_link"
    assert result.content[2].uri == image()["url"]
    assert image()["url"] in text_of(result)
    assert result.structured_content["job_id"] == JOB
    assert result.structured_content["files"] == [image()]


async def test_call_is_sent_as_a_job_with_the_callers_key() -> None:
    gateway = FakeGateway()
    async with connected(gateway) as client:
        await client.call_tool("generate_image", {"prompt": "a kite", "seed": 7, "quality": "low"})
    (body,) = gateway.bodies()
    assert body == {"prompt": "a kite", "seed": 7, "quality": "low"}
    submitted = gateway.requests[0]
    assert submitted.url.path == "/v1/images/generations"
    assert submitted.headers["prefer"] == "respond-async"
    assert {request.headers["authorization"] for request in gateway.requests} == {f"Bearer {KEY}"}


async def test_video_is_linked_only() -> None:
    gateway = FakeGateway(streams=[[job(result={"data": [image(0, "video/mp4")]})]])
    async with connected(gateway) as client:
        result = await client.call_tool("generate_video", {"prompt": "waves", "seconds": 5})
    assert gateway.paths == ["POST /v1/videos/generations", f"GET /v1/jobs/{JOB}/events"]
    assert [block.type for block in result.content] == ["text", "resource_link"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "prompt is required."),
        ({"prompt": ""}, "prompt must not be empty."),
        ({"prompt": "x", "n": 11}, "n must be at most 10."),
        ({"prompt": "x", "n": 0}, "n must be at least 1."),
        ({"prompt": "x", "quality": "best"}, "quality must be 'auto', 'low', 'medium', "),
        ({"prompt": "x", "size": "big"}, "size does not have the form that its description states."),
        ({"prompt": "x", "steps": 5}, "steps is no argument of this tool."),
        ({"prompt": "x", "seed": "one"}, "seed: input should be a valid integer"),
        ({"prompt": "x", "wait_seconds": 601}, "wait_seconds must be at most 600.0."),
    ],
)
async def test_wrong_argument_is_named_in_one_sentence_and_nothing_is_sent(
    given: dict[str, Any], sentence: str
) -> None:
    gateway = FakeGateway()
    async with connected(gateway) as client:
        result = await client.call_tool("generate_image", given)
    assert result.is_error
    assert text_of(result).startswith(sentence)
    assert "\n" not in text_of(result)
    assert not gateway.requests


async def test_unknown_tool_is_refused_with_the_names_of_all() -> None:
    async with connected(FakeGateway()) as client:
        result = await client.call_tool("paint", {})
    assert result.is_error
    assert text_of(result) == f"There is no tool paint. The tools are {', '.join(TOOLS)}."


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (error("size must be WxH.", "size"), "size must be WxH."),
        (error("It is too long.", "prompt"), "prompt: It is too long."),
        (error("The budget is used up."), "The budget is used up."),
        ("<html>", "The gateway's response has the status 402."),
    ],
)
async def test_error_of_the_api_is_a_tool_error_that_names_the_field(body: Any, sentence: str) -> None:
    async with connected(FakeGateway(refusal=(402, body))) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite"})
    assert result.is_error
    assert text_of(result) == sentence


async def test_failed_job_is_a_tool_error_with_its_reason() -> None:
    failed = job("failed", error={"message": "The content policy refused the prompt.", "code": "moderation_blocked"})
    async with connected(FakeGateway(streams=[[failed]])) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite"})
    assert result.is_error
    assert text_of(result) == f"The job {JOB} failed: The content policy refused the prompt."


async def test_lost_submission_is_repeated_with_the_same_idempotency_key() -> None:
    gateway = FakeGateway(unreachable=2)
    async with connected(gateway) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite"})
    assert not result.is_error
    posts = [request for request in gateway.requests if request.method == "POST"]
    assert len(posts) == 3
    assert len({request.headers["idempotency-key"] for request in posts}) == 1


async def test_gateway_that_is_away_for_a_moment_is_called_again() -> None:
    gateway = FakeGateway(refusal=(503, error("The gateway can't serve this now; try again.")), refusals=2)
    async with connected(gateway) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite"})
    assert not result.is_error
    assert len({request.headers["idempotency-key"] for request in gateway.requests[:3]}) == 1


async def test_two_calls_have_two_idempotency_keys() -> None:
    gateway = FakeGateway(streams=[[job()], [job()]])
    async with connected(gateway) as client:
        for _ in range(2):
            await client.call_tool("generate_image", {"prompt": "a kite"})
    keys = [request.headers["idempotency-key"] for request in gateway.requests if request.method == "POST"]
    assert len(set(keys)) == 2


async def test_given_idempotency_key_is_sent() -> None:
    gateway = FakeGateway()
    async with connected(gateway) as client:
        await client.call_tool("generate_image", {"prompt": "a kite", "idempotency_key": "mine"})
    assert gateway.requests[0].headers["idempotency-key"] == "mine"
    assert gateway.bodies() == [{"prompt": "a kite"}]


async def test_unreachable_gateway_is_an_error_that_says_how_to_repeat_without_paying_twice() -> None:
    gateway = FakeGateway(unreachable=99)
    async with connected(gateway) as client:
        result = await client.call_tool("generate_image", {"prompt": "a kite"})
    assert result.is_error
    assert gateway.requests[0].headers["idempotency-key"] in text_of(result)


async def test_job_is_returned_and_cancelled_by_id() -> None:
    queued = job("queued", queue_position=3)
    gateway = FakeGateway(jobs={JOB: queued})
    async with connected(gateway) as client:
        state = await client.call_tool("get_job", {"job_id": JOB})
        cancelled = await client.call_tool("cancel_job", {"job_id": JOB})
        wrong = await client.call_tool("get_job", {"job_id": "../models"})
    assert state.structured_content["queue_position"] == 3
    assert text_of(state).startswith(
        f"The job {JOB} is queued with 3 jobs ahead. Call wait_for_job with job_id {JOB}"
    )
    assert not cancelled.is_error
    assert gateway.paths == [f"GET /v1/jobs/{JOB}", f"POST /v1/jobs/{JOB}/cancel"]
    assert wrong.is_error


async def test_models_are_filtered_by_capability_and_availability() -> None:
    def model(name: str, *capabilities: str, available: bool = True) -> dict[str, Any]:
        return {
            "id": name,
            "description": "Draws.",
            "modality": "image",
            "capabilities": capabilities,
            "available": available,
            "limits": {"max_n": 4},
            "pricing": {"estimate": 0.04},
        }

    gateway = FakeGateway(
        models=[model("a", "mask"), model("b", "seed"), model("c", "mask", available=False)],
    )
    async with connected(gateway) as client:
        masks = await client.call_tool("list_models", {"capability": "mask", "modality": "image"})
        all_of_them = await client.call_tool("list_models", {"only_available": False})
    assert [entry["id"] for entry in masks.structured_content["models"]] == ["a"]
    assert masks.structured_content["models"][0]["estimated_cost"] == 0.04
    assert text_of(masks) == "a: Draws. (mask)"
    assert len(all_of_them.structured_content["models"]) == 3
    assert gateway.requests[0].url.params["modality"] == "image"
