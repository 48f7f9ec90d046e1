"""Answers of every image model satisfy the types of OpenAI's newest SDK: typed clients reject anything else."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import pytest
from openai.types import ImageEditCompletedEvent, ImageGenCompletedEvent, ImagesResponse
from pydantic import ValidationError

from tests.gateway import rest
from tests.gateway.providers.asking import MODELS, WAIT, over_rest, path, request
from tests.gateway.providers.every_model import AT_ONCE, UPSTREAM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.every_model import Answers
    from tests.gateway.rest import Answer

_IDS: Final = sorted(name for name, model in MODELS.items() if model.modality == "image")
_STREAMED: Final = [name for name in _IDS if set(MODELS[name].output_formats) & {"png", "webp", "jpeg"}]
"""Events have no other formats: a stream of a vector model is refused."""
_OPTIONAL: Final = {"background", "output_format", "quality", "size", "usage"}
"""Fields that events leave out where the model does not say: OpenAI's types require them of OpenAI's own models."""


@pytest.fixture(scope="module")
def streams(caller: Caller) -> Mapping[str, Answer]:
    """Return the stream of every image model that has one, requested side by side."""

    def ask(name: str) -> Answer:
        fields = request(name, stream=True)
        return caller.ask("POST", path(fields), fields, WAIT)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(_STREAMED, pool.map(ask, _STREAMED), strict=True))


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
def test_answer_of_a_model_satisfies_the_sdks_types(caller: Caller, answers: Answers, model_id: str) -> None:
    said = answers.of["rest", model_id] if model_id in UPSTREAM else over_rest(caller, request(model_id))
    assert said.failure is None, said.failure
    assert violations(ImagesResponse, said.document) == []
    for item in said.document["data"]:
        assert ("url" in item) != ("b64_json" in item)


@pytest.mark.parametrize("model_id", _STREAMED)
def test_event_of_a_model_satisfies_the_sdks_types(streams: Mapping[str, Answer], model_id: str) -> None:
    stream = streams[model_id]
    assert stream.status == 200, stream.body
    events = [json.loads(line[6:]) for line in stream.body.splitlines() if line.startswith(b"data: ")]
    assert events
    edited = path(request(model_id)) == rest.EDITS
    for event in events:
        assert violations(ImageEditCompletedEvent if edited else ImageGenCompletedEvent, event) == []
