"""Multipart edits: field names, limits during the upload, broken bodies. No input stays in the store."""

from __future__ import annotations

import http.client
import re
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.gateway import inputs, rest
from tests.gateway.inputs import BOUNDARY, CLOSING, FORM, MAX_FILE, file_part, form, image_bytes, mask, text_part
from tests.gateway.rest import EDITS, ask, assert_error
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.stack import Stack

MIB = 1024 * 1024


def uploads(stack: Stack) -> list[str]:
    """Return the files of input images in the store, temporary files included."""
    folder = stack.data_dir / "media" / "uploads"
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(autouse=True)
def _nothing_is_left(stack: Stack) -> Iterator[None]:
    yield
    eventually(lambda: not uploads(stack), 10, "no input of an edit is left in the store")


def edit(stack: Stack, *parts: Iterable[bytes], **fields: str) -> rest.Answer:
    return ask(stack, "POST", EDITS, form(*parts, **{"prompt": "at night", **fields}), FORM)


def size_of(answer: rest.Answer) -> str:
    assert answer.status == 200, answer.body
    return str(answer.json()["size"])


@pytest.mark.parametrize(
    "names", [["image"], ["image[]"], ["image[0]", "image[1]"], ["image[]", "image[]", "image[]"], ["image", "image"]]
)
def test_images_by_every_name_in_use_are_taken_in_order(stack: Stack, names: list[str]) -> None:
    parts = [file_part(name, image_bytes(96 if index == 0 else 64)) for index, name in enumerate(names)]
    assert size_of(edit(stack, *parts)) == "96x64"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_image_is_read_by_content_not_by_name_or_type(stack: Stack, kind: str) -> None:
    part = file_part("image", image_bytes(96, 64, kind), "notes.txt", "application/octet-stream")
    assert size_of(edit(stack, part)) == "96x64"


def test_form_fields_mean_the_same_as_json_fields(stack: Stack) -> None:
    answer = edit(
        stack,
        file_part("image", image_bytes(96)),
        file_part("mask", mask(96)),
        model="sketch",
        n="2",
        size="64x64",
        output_format="webp",
        output_compression="70",
        response_format="b64_json",
        seed="11",
        quality="low",
        user="someone",
        stream="false",
        provider_options='{"delay": 0}',
        **{"metadata[c]": "d"},
    ).json()
    assert [item["seed"] for item in answer["data"]] == [11, 12]
    assert {item["media_type"] for item in answer["data"]} == {"image/webp"}
    assert "warnings" not in answer


def test_answers_to_forms_have_the_headers_of_all_others(stack: Stack) -> None:
    by_form = edit(stack, file_part("image", image_bytes(96)))
    url = inputs.data_url(image_bytes(96))
    by_json = ask(stack, "POST", EDITS, {"prompt": "at night", "image_url": url})
    assert set(by_form.headers) == set(by_json.headers)
    refused = [edit(stack), ask(stack, "POST", EDITS, {"prompt": "at night"})]
    assert len({answer.headers["content-type"] for answer in refused}) == 1
    assert not any("server" in answer.headers for answer in (by_form, *refused))


def test_form_field_unknown_is_a_warning_and_an_error_in_strict_mode(stack: Stack) -> None:
    body = form(file_part("image", image_bytes()), model="local/sketch", prompt="at night", colour="red")
    (warning,) = ask(stack, "POST", EDITS, body, FORM).json()["warnings"]
    assert (warning["code"], warning["param"]) == ("unknown_parameter", "colour")
    answer = ask(stack, "POST", EDITS, body, {**FORM, "prefer": "handling=strict"})
    assert_error(answer, 400, "unsupported_parameter", "colour")


@pytest.mark.parametrize(
    ("name", "text"), [("n", "two"), ("n", "1.5"), ("stream", "maybe"), ("seed", "x"), ("metadata", "{"), ("n", "99")]
)
def test_form_field_of_the_wrong_type_is_named(stack: Stack, name: str, text: str) -> None:
    assert_error(edit(stack, file_part("image", image_bytes()), **{name: text}), 400, "invalid_value", name)


def test_form_field_nested_too_deep_is_400(stack: Stack) -> None:
    name = "provider_options" + "[a]" * 500
    answer = edit(stack, file_part("image", image_bytes()), **{name: "b"})
    assert_error(answer, 400, "invalid_value", "provider_options")


def test_image_urls_in_a_form_are_accepted(stack: Stack) -> None:
    assert size_of(edit(stack, image_url=inputs.data_url(image_bytes(80)))) == "80x64"


@pytest.mark.parametrize(
    "data", [b"", b"plain text", b"GIF89a" + bytes(100), image_bytes()[:-20], image_bytes(kind="JPEG")[:-2]]
)
def test_invalid_or_truncated_image_is_400(stack: Stack, data: bytes) -> None:
    assert_error(edit(stack, file_part("image", data)), 400, "invalid_image", "image")


@pytest.mark.parametrize("sides", [(60_000, 60_000), (16_385, 1), (10_000, 10_000)])
def test_image_with_too_many_pixels_is_400(stack: Stack, sides: tuple[int, int]) -> None:
    assert_error(edit(stack, file_part("image", inputs.bomb(*sides))), 400, "invalid_image", "image")


def test_image_whose_pixels_are_damaged_is_400(stack: Stack) -> None:
    message = assert_error(edit(stack, file_part("image", inputs.bomb(64, 64))), 400, "invalid_image", "image")
    assert "image" in message


def test_invalid_second_image_is_named_by_its_index(stack: Stack) -> None:
    answer = edit(stack, file_part("image[]", image_bytes()), file_part("image[]", b"text"))
    assert_error(answer, 400, "invalid_image", "image[1]")


def test_mask_of_another_size_is_400(stack: Stack) -> None:
    answer = edit(stack, file_part("image", image_bytes(96)), file_part("mask", mask(64)))
    assert_error(answer, 400, "invalid_image", "mask")


def test_mask_before_image_is_taken(stack: Stack) -> None:
    assert size_of(edit(stack, file_part("mask", mask(96)), file_part("image", image_bytes(96)))) == "96x64"


def test_two_masks_are_400(stack: Stack) -> None:
    parts = [file_part("image", image_bytes()), file_part("mask", mask()), file_part("mask", mask())]
    assert_error(edit(stack, *parts), 400, "invalid_value", "mask")


def test_seventeen_images_are_400(stack: Stack) -> None:
    parts = [file_part("image[]", image_bytes())] * 17
    assert_error(edit(stack, *parts), 400, "invalid_value", "image")


def test_image_missing_or_prompt_missing_is_named(stack: Stack) -> None:
    assert_error(edit(stack), 400, "missing_parameter", "image")
    answer = ask(stack, "POST", EDITS, form(file_part("image", image_bytes())), FORM)
    assert_error(answer, 400, "missing_parameter", "prompt")


def test_file_under_another_name_is_400(stack: Stack) -> None:
    answer = edit(stack, file_part("image", image_bytes()), file_part("document", b"text", "a.txt"))
    assert_error(answer, 400, "invalid_value", "document")


def test_key_unknown_is_401_for_uploads_too(stack: Stack) -> None:
    body = form(file_part("image", image_bytes()), prompt="at night")
    answer = ask(stack, "POST", EDITS, body, FORM, key="wrong")
    assert_error(answer, 401, "invalid_api_key", kind="authentication_error")


def test_provider_failure_after_an_upload_is_the_providers(stack: Stack) -> None:
    answer = edit(stack, file_part("image", image_bytes()), provider_options='{"fail": "provider_error"}')
    assert_error(answer, 502, "provider_error", kind="provider_error")
    assert answer.headers["x-should-retry"] == "false"


def test_file_of_exactly_25_mib_passes(stack: Stack) -> None:
    assert size_of(edit(stack, file_part("image", inputs.padded(MAX_FILE)))) == "64x64"


def test_data_url_of_exactly_25_mib_passes_and_one_byte_more_is_413(stack: Stack) -> None:
    def send(size: int) -> rest.Answer:
        url = inputs.data_url(inputs.padded(size))
        return ask(stack, "POST", EDITS, {"prompt": "at night", "image_url": url})

    assert size_of(send(MAX_FILE)) == "64x64"
    assert_error(send(MAX_FILE + 1), 413, "file_too_large", "image_url")


@pytest.mark.parametrize("name", ["image", "mask"])
def test_file_of_one_byte_more_is_413(stack: Stack, name: str) -> None:
    answer = edit(stack, file_part(name, inputs.padded(MAX_FILE + 1)))
    assert_error(answer, 413, "file_too_large", name)


def early_answer(stack: Stack, length: int | None, pieces: Iterable[bytes]) -> tuple[rest.Answer, int]:
    """Upload until the response starts. Return the response and the number of bytes sent."""
    sent = 0
    with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)) as connection:
        connection.putrequest("POST", EDITS)
        for name, value in {**FORM, "authorization": f"Bearer {stack.key}"}.items():
            connection.putheader(name, value)
        kind = ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
        connection.putheader(*kind)
        connection.endheaders()
        for piece in pieces:
            chunk = b"%x\r\n%b\r\n" % (len(piece), piece) if length is None else piece
            try:
                connection.send(chunk)
            except (BrokenPipeError, ConnectionResetError):
                break
            sent += len(piece)
        response = connection.getresponse()
        return rest.Answer(response.status, response.headers, response.read()), sent


@pytest.mark.parametrize("declared", [True, False])
def test_file_too_large_is_413_while_the_upload_still_runs(stack: Stack, *, declared: bool) -> None:
    head = [*text_part("prompt", "at night"), file_part("image", b"")[0], image_bytes()[:40]]

    def body() -> Iterator[bytes]:
        yield from head
        yield from (bytes(MIB) for _ in range(26))

    length = 200 * MIB if declared else None
    answer, sent = early_answer(stack, length, body())  # the rest is never sent, and the answer comes all the same
    assert_error(answer, 413, "file_too_large", "image")
    assert sent < 28 * MIB


def test_form_over_the_total_limit_is_413_before_it_is_sent(stack: Stack) -> None:
    answer, _ = early_answer(stack, 500 * MIB, [])
    assert_error(answer, 413, "request_too_large")


def test_chunked_upload_is_taken(stack: Stack) -> None:
    body = form(file_part("image", image_bytes(96)), prompt="at night")
    pieces = (body[start : start + 7] for start in range(0, len(body), 7))
    answer = ask(stack, "POST", EDITS, pieces, FORM)
    assert size_of(answer) == "96x64"


def test_multipart_in_capitals_and_with_a_quoted_boundary_is_taken(stack: Stack) -> None:
    body = form(file_part("image", image_bytes(96)), prompt="at night")
    kind = f'Multipart/Form-Data; charset=utf-8; boundary="{BOUNDARY}"'
    assert size_of(ask(stack, "POST", EDITS, body, {"content-type": kind})) == "96x64"


IMAGE_PART = b"".join(file_part("image", image_bytes()))
PROMPT_PART = b"".join(text_part("prompt", "at night"))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(PROMPT_PART + IMAGE_PART, id="no-closing-boundary"),
        pytest.param(PROMPT_PART + IMAGE_PART[:-40], id="ends-in-a-file"),
        pytest.param(PROMPT_PART + IMAGE_PART[:60], id="ends-in-a-head"),
        pytest.param(b"garbage", id="garbage"),
        pytest.param(b"", id="empty"),
        pytest.param(f"--{BOUNDARY}\r\n\r\nx\r\n".encode() + CLOSING, id="part-without-head"),
        pytest.param(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n'.encode() + CLOSING,
            id="part-without-name",
        ),
        pytest.param(IMAGE_PART.replace(b"\r\n", b"\n") + CLOSING, id="line-ends-of-another-system"),
    ],
)
def test_multipart_broken_is_400(stack: Stack, body: bytes) -> None:
    answer = ask(stack, "POST", EDITS, body, FORM)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"
    rest.assert_no_internals(answer)


def test_multipart_without_boundary_is_415(stack: Stack) -> None:
    answer = ask(stack, "POST", EDITS, PROMPT_PART + CLOSING, {"content-type": "multipart/form-data"})
    assert_error(answer, 415, "unsupported_media_type")


def test_multipart_with_a_text_field_too_long_is_413(stack: Stack) -> None:
    answer = edit(stack, file_part("image", image_bytes()), negative_prompt="x" * 300_000)
    assert_error(answer, 413, "request_too_large", "negative_prompt")


def test_multipart_with_too_many_parts_is_413(stack: Stack) -> None:
    answer = ask(stack, "POST", EDITS, form(*(text_part("a", "b") for _ in range(250))), FORM)
    assert_error(answer, 413, "request_too_large")


@pytest.mark.parametrize("sent", [1, 3 * MIB])
def test_client_that_disconnects_in_an_upload_leaves_no_file(stack: Stack, sent: int) -> None:
    request_id = f"goes-away-{sent}"
    headers = {**FORM, "authorization": f"Bearer {stack.key}", "x-request-id": request_id, "host": "localhost"}
    start = [f"POST {EDITS} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*start, f"content-length: {20 * MIB}", "", ""]).encode()
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall(head + PROMPT_PART + file_part("image", b"")[0] + inputs.padded(4 * MIB)[:sent])
        if sent > MIB:
            eventually(lambda: bool(uploads(stack)), 10, "the upload has reached the store")

    def lines() -> list[dict[str, Any]]:
        return [event for event in stack.of_request(request_id) if event["event"] == "request_finished"]

    if sent > MIB:
        eventually(lambda: bool(lines()), 10, "the request's line is logged")
    eventually(lambda: bool(stack.of_request(request_id)), 10, "the router or Envoy has logged the request")
    assert {line["status"] for line in lines()} <= {499}


def test_link_of_an_edit_contains_the_digest_of_its_image(stack: Stack) -> None:
    (item,) = edit(stack, file_part("image", image_bytes())).json()["data"]
    assert re.fullmatch(
        r"/media/[0-9-]{10}/[0-9a-f]{64}-[0-9a-f]{16}/0\.png", rest.link(stack, item["url"]).partition("?")[0]
    )
