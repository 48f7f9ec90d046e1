"""Answers of every image model satisfy the types of OpenAI's newest SDK: typed clients reject anything else."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pytest
from openai.types import ImageEditCompletedEvent, ImageGenCompletedEvent, ImagesResponse
from pydantic import ValidationError

from tests.gateway import rest
from tests.gateway.providers.asking import MODELS, WAIT, path, request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.rest import Answer

_IDS: Final = sorted(name for name, model in MODELS.items() if model.modality == "image")
_STREAMED: Final = [name for name in _IDS if set(MODELS[name].output_formats) & {"png", "webp", "jpeg"}]
"""Events have no other formats: a stream of a vector model is refused."""
_OPTIONAL: Final = {"background", "output_format", "quality", "size", "usage"}
"""Fields that events leave out where the model does not say: OpenAI's types require them of OpenAI's own models."""
_AT_ONCE: Final = 12


@pytest.fixture(scope="module")
def answers(caller: Caller) -> Mapping[str, tuple[Answer, Answer]]:
    """The plain answer and the stream of every image model, requested side by side."""

    def ask(name: str) -> tuple[Answer, Answer]:
        plain, streamed = request(name), request(name, stream=True)
        return caller.ask("POST", path(plain), plain, WAIT), caller.ask("POST", path(streamed), streamed, WAIT)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(_IDS, pool.map(ask, _IDS), strict=True))


def violations(type_: type[BaseModel], document: object) -> list[Any]:
    """Return what a typed client would reject; fields that are left out whole do not count."""
    try:
        type_.model_validate(document, strict=True)
    except ValidationError as error:
        return [
            found
            for found in error.errors(include_url=False)
            if not (found["type"] == "missing" and len(found["loc"]) == 1 and found["loc"][0] in _OPTIONAL)
        ]
    return []


@pytest.mark.parametrize("model_id", _IDS)
def test_answer_of_a_model_satisfies_the_sdks_types(
    answers: Mapping[str, tuple[Answer, Answer]], model_id: str
) -> None:
    answer, _ = answers[model_id]
    assert answer.status == 200, answer.body
    document = answer.json()
    assert violations(ImagesResponse, document) == []
    for item in document["data"]:
        assert ("url" in item) != ("b64_json" in item)


@pytest.mark.parametrize("model_id", _STREAMED)
def test_event_of_a_model_satisfies_the_sdks_types(
    answers: Mapping[str, tuple[Answer, Answer]], model_id: str
) -> None:
    _, stream = answers[model_id]
    assert stream.status == 200, stream.body
    events = [json.loads(line[6:]) for line in stream.body.splitlines() if line.startswith(b"data: ")]
    assert events
    edited = path(request(model_id)) == rest.EDITS
    for event in events:
        assert violations(ImageEditCompletedEvent if edited else ImageGenCompletedEvent, event) == []
