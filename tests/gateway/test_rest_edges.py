"""REST edge cases: wrong paths, methods, types and sizes, hostile headers, request ids, CORS."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway import rest
from tests.gateway.rest import EDITS, GENERATIONS, SMALL, ask, assert_error, generate

if TYPE_CHECKING:
    from tests.support.stack import Stack

MADE_ID = re.compile(r"[A-Za-z0-9_.:-]{8,128}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nothing"),
        ("GET", "/v1/music"),
        ("POST", "/v1/images/variations"),
        ("GET", "/nothing"),
        ("GET", "/v1"),
        ("GET", "/v1/"),
        ("GET", "/v1/images/generations/x"),
        ("GET", "/imagegateway.v1.ImageService"),
        ("POST", "/imagegateway.provider.v1.ProviderService/Start"),
    ],
)
def test_path_unknown_is_404(stack: Stack, method: str, path: str) -> None:
    body: dict[str, Any] | None = {} if method in {"POST", "PUT"} else None
    assert_error(ask(stack, method, path, body), 404, "unknown_url")


def test_provider_service_is_unimplemented_on_the_public_port(stack: Stack) -> None:
    answer = ask(
        stack,
        "POST",
        "/imagegateway.provider.v1.ProviderService/Start",
        b"\0\0\0\0\0",
        {"content-type": "application/grpc+proto", "te": "trailers"},
    )
    assert answer.status != 200 or answer.headers["grpc-status"] == "12"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", GENERATIONS, "POST"),
        ("PUT", GENERATIONS, "POST"),
        ("HEAD", EDITS, "POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("POST", "/v1/models/local/sketch", "GET, HEAD"),
        ("PATCH", "/v1/jobs/job_1", "DELETE, GET, HEAD"),
        ("POST", "/v1/provider-keys/fal", "DELETE, PUT"),
        ("POST", "/v1/jobs/job_1/events", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_method_undeclared_is_405_and_names_the_declared_ones(
    stack: Stack, method: str, path: str, allowed: str
) -> None:
    answer = ask(stack, method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        assert_error(answer, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/jobs", "/v1/models/local/sketch", "/healthz", "/"])
def test_query_parameter_unknown_is_ignored(stack: Stack, path: str) -> None:
    assert ask(stack, "GET", f"{path}?api-version=preview&limit=20&_=1&colour=%zz").status == 200


@pytest.mark.parametrize("query", ["n=2&prompt=dog", "model=none/such", "n=many", "api-version=2024-10-21"])
def test_query_of_a_post_is_ignored(stack: Stack, query: str) -> None:
    answer = ask(stack, "POST", f"{GENERATIONS}?{query}", dict(SMALL))
    assert answer.status == 200
    assert len(answer.json()["data"]) == 1
    missing = ask(stack, "POST", f"{GENERATIONS}?{query}", {"size": "64x64"})
    assert_error(missing, 400, "missing_parameter", "prompt")


@pytest.mark.parametrize(
    ("path", "field", "words"),
    [
        ("/v1/jobs?page_size=abc", "page_size", "whole number"),
        ("/v1/jobs?page_size=1.5", "page_size", "whole number"),
    ],
)
def test_query_field_of_the_wrong_type_is_named_in_plain_words(
    stack: Stack, path: str, field: str, words: str
) -> None:
    message = assert_error(ask(stack, "GET", path), 400, "invalid_value", field)
    assert words in message
    assert "TYPE_" not in message


@pytest.mark.parametrize("body", [b"{", b'{"prompt": "a', b"[1, 2", b'{"prompt": "\xff"}', b"nonsense"])
@pytest.mark.parametrize("path", [GENERATIONS, EDITS])
def test_json_malformed_is_invalid_json(stack: Stack, path: str, body: bytes) -> None:
    assert_error(ask(stack, "POST", path, body, rest.JSON), 400, "invalid_json")


@pytest.mark.parametrize("body", [b"[]", b"5", b'"text"', b"null"])
def test_json_of_another_kind_than_object_is_400(stack: Stack, body: bytes) -> None:
    answer = ask(stack, "POST", GENERATIONS, body, rest.JSON)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    rest.assert_no_internals(answer)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", "many"),
        ("n", 1.5),
        ("n", 99_999_999_999),
        ("n", True),
        ("prompt", 5),
        ("prompt", True),
        ("prompt", {"text": "a boat"}),
        ("size", 64),
        ("seed", "x"),
        ("seed", 1.5),
        ("output_compression", "half"),
        ("stream", "maybe"),
        ("metadata", "text"),
        ("loras", "text"),
        ("provider_options", 5),
    ],
)
def test_json_field_of_the_wrong_type_is_named(stack: Stack, field: str, value: Any) -> None:
    answer = ask(stack, "POST", GENERATIONS, {**SMALL, field: value})
    assert_error(answer, 400, "invalid_value", field)


def test_json_list_for_a_single_value_is_named(stack: Stack) -> None:
    assert_error(generate(stack, n=[1]), 400, "invalid_value", "n")


def test_json_metadata_value_of_the_wrong_type_is_named(stack: Stack) -> None:
    assert_error(generate(stack, metadata={"a": {"b": "c"}}), 400, "invalid_value", "metadata.a")


def test_json_nested_too_deep_is_400(stack: Stack) -> None:
    body = b'{"prompt": "a boat", "provider_options": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}"
    answer = ask(stack, "POST", GENERATIONS, body, rest.JSON)
    assert answer.status == 400
    rest.assert_no_internals(answer)


def test_json_null_counts_as_absent(stack: Stack) -> None:
    answer = generate(stack, n=None, seed=None, style=None, metadata=None, provider_options=None)
    assert answer.status == 200


@pytest.mark.parametrize("path", [GENERATIONS, EDITS])
@pytest.mark.parametrize("body", [b"", None])
def test_empty_body_is_refused_naming_the_required_field(stack: Stack, path: str, body: bytes | None) -> None:
    assert_error(ask(stack, "POST", path, body, rest.JSON), 400, "missing_parameter", "prompt")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "image/png", None])
@pytest.mark.parametrize("path", [GENERATIONS, EDITS, "/v1/videos/generations"])
def test_content_type_of_another_kind_is_415(stack: Stack, path: str, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert_error(ask(stack, "POST", path, b"{}", headers), 415, "unsupported_media_type")


def test_content_type_with_charset_and_capitals_is_taken(stack: Stack) -> None:
    body = json.dumps(SMALL).encode()
    assert ask(stack, "POST", GENERATIONS, body, {"content-type": "Application/JSON; charset=utf-8"}).status == 200


def test_multipart_generation_is_415(stack: Stack) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert_error(ask(stack, "POST", GENERATIONS, b"--x--\r\n", headers), 415, "unsupported_media_type")


@pytest.mark.parametrize("path", [GENERATIONS, EDITS])
def test_json_too_large_is_413(stack: Stack, path: str) -> None:
    filling = b" " * (61 * 1024 * 1024)
    answer = ask(stack, "POST", path, b'{"prompt": "a boat"' + filling + b"}", rest.JSON)
    assert_error(answer, 413, "request_too_large")


def test_headers_too_large_are_431(stack: Stack) -> None:
    answer = ask(stack, "GET", "/v1/models", headers={"x-filling": "f" * 70_000})
    assert_error(answer, 431, "headers_too_large")


@pytest.mark.parametrize(
    "path", ["/v1/jobs/job_1", "/v1/jobs", "/v1/jobs/job_1/events", "/v1/jobs/../jobs/job_1", "/v1/models"]
)
def test_key_missing_is_401(stack: Stack, path: str) -> None:
    answer = ask(stack, "GET", path, key="")
    assert_error(answer, 401, "invalid_api_key", kind="authentication_error")


@pytest.mark.parametrize("authorization", ["Bearer ", "Bearer wrong", "Basic dTpw", "bearer", "Bearer igw_x y"])
def test_key_malformed_or_unknown_is_401(stack: Stack, authorization: str) -> None:
    answer = generate(stack, {"authorization": authorization})
    assert_error(answer, 401, "invalid_api_key", kind="authentication_error")


@pytest.mark.parametrize("path", ["/v1/jobs/job_1", "/v1/jobs/job_1/events", "/v1/files/jobs/job_1/0.png"])
def test_job_that_never_was_is_404(stack: Stack, path: str) -> None:
    assert_error(ask(stack, "GET", path), 404, "job_not_found", "job_id")


@pytest.mark.parametrize("given", ["my-request.1:2_3", "a" * 128])
def test_request_id_well_formed_is_echoed(stack: Stack, given: str) -> None:
    for answer in (
        generate(stack, {"x-request-id": given}),
        generate(stack, {"x-request-id": given}, n=0),
        ask(stack, "GET", "/nothing", headers={"x-request-id": given}),
        ask(stack, "POST", GENERATIONS, b"{", {"x-request-id": given, **rest.JSON}),
        ask(stack, "GET", "/healthz", headers={"x-request-id": given}),
    ):
        assert answer.headers.get_all("x-request-id") == [given]


@pytest.mark.parametrize("given", ["two words", "a" * 129, "semi;colon", "<b>", '"'])
def test_request_id_malformed_is_replaced(stack: Stack, given: str) -> None:
    for answer in (
        generate(stack, {"x-request-id": given}),
        generate(stack, {"x-request-id": given}, n=0),
        ask(stack, "GET", "/nothing", headers={"x-request-id": given}),
        ask(stack, "POST", GENERATIONS, b"{", {"x-request-id": given, **rest.JSON}),
    ):
        made = answer.headers["x-request-id"]
        assert made != given
        assert MADE_ID.fullmatch(made)


def test_request_id_absent_is_made_and_differs(stack: Stack) -> None:
    made = {generate(stack, n=0).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3


@pytest.mark.parametrize("name", ["x-http-status", "x-oai-error", "x-envoy-original-path", "x-envoy-retry-on"])
def test_internal_header_of_a_client_changes_nothing(stack: Stack, name: str) -> None:
    value = {"x-http-status": "202", "x-oai-error": '{"error":{}}'}.get(name, "/v1/nothing")
    assert generate(stack, {name: value}).status == 200
    assert_error(generate(stack, {name: value}, n=0), 400, "invalid_value", "n")
    assert_error(ask(stack, "GET", "/nothing", headers={name: value}), 404, "unknown_url")
    assert ask(stack, "GET", "/healthz", headers={name: value}).status == 200


def test_header_with_underscore_is_dropped(stack: Stack) -> None:
    assert generate(stack, {"x_http_status": "202", "idempotency_key": "x" * 300}).status == 200


def test_answer_of_success_carries_no_internal_header(stack: Stack) -> None:
    answer = generate(stack)
    assert answer.headers.get_content_type() == "application/json"
    names = {name.lower() for name in answer.headers}
    assert not {name for name in names if name.startswith(("x-http", "x-oai", "grpc-"))}
    assert answer.headers["x-imagegateway-provider"] == "local"


def test_cors_preflight_from_any_origin_is_allowed(stack: Stack) -> None:
    answer = ask(
        stack,
        "OPTIONS",
        GENERATIONS,
        headers={
            "origin": "https://app.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type,prefer",
        },
        key="",
    )
    assert answer.status in {200, 204}
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]


def test_options_without_a_preflight_is_405(stack: Stack) -> None:
    for headers in ({}, {"origin": "https://app.example"}, {"access-control-request-method": "POST"}):
        answer = ask(stack, "OPTIONS", GENERATIONS, headers=headers)
        rest.assert_error(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"


def test_cors_headers_are_on_errors_too(stack: Stack) -> None:
    for answer in (
        generate(stack, {"origin": "https://app.example"}, n=0),
        ask(stack, "GET", "/nothing", headers={"origin": "https://app.example"}),
    ):
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_models_list_and_one_with_a_slash_in_its_id(stack: Stack) -> None:
    listing = ask(stack, "GET", "/v1/models").json()
    assert listing["object"] == "list"
    (model,) = (model for model in listing["data"] if model["id"] == "local/sketch")
    assert model == ask(stack, "GET", "/v1/models/local/sketch").json()
    assert model["object"] == "model"
    assert isinstance(model["created"], int)
    assert {"mask", "image_to_image", "text_to_image"} <= set(model["capabilities"])
    assert model["limits"]["max_prompt_length"] == 4000
    assert model["available"] is True


def test_model_id_with_an_escaped_slash_is_found(stack: Stack) -> None:
    assert ask(stack, "GET", "/v1/models/local%2Fsketch").json()["id"] == "local/sketch"


def test_models_by_alias_and_filters_are_the_same_model(stack: Stack) -> None:
    assert ask(stack, "GET", "/v1/models/sketch").json()["id"] == "local/sketch"
    for query, found in (("modality=image&provider=local", True), ("modality=video", False), ("provider=x", False)):
        listed = ask(stack, "GET", f"/v1/models?{query}").json().get("data", [])
        assert ("local/sketch" in [model["id"] for model in listed]) is found


def test_models_empty_list_still_has_its_data_field(stack: Stack) -> None:
    assert ask(stack, "GET", "/v1/models?provider=unknown").json() == {"object": "list", "data": []}


def test_models_unknown_or_filter_malformed_is_refused(stack: Stack) -> None:
    assert_error(ask(stack, "GET", "/v1/models/none/such"), 404, "model_not_found", "model")
    assert_error(ask(stack, "GET", "/v1/models?modality=sound"), 400, "invalid_value", "modality")


def test_health_and_page_and_description_answer_without_a_key(stack: Stack) -> None:
    assert ask(stack, "GET", "/healthz", key="").status == 200
    assert ask(stack, "GET", "/readyz", key="").status == 200
    page = ask(stack, "GET", "/", key="")
    assert (page.status, page.headers.get_content_type()) == (200, "text/html")
    description = ask(stack, "GET", "/openapi.json", key="").json()
    assert {GENERATIONS, EDITS, "/v1/models"} <= set(description["paths"])


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST /v1/images/generations HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
    ],
)
def test_http_malformed_is_refused_and_others_are_served(stack: Stack, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(raw)
        assert connection.recv(64).startswith(b"HTTP/1.1 400")
    assert ask(stack, "GET", "/healthz").status == 200
