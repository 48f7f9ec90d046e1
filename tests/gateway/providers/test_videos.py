"""Videos by the hosted service's unchanged SDK, `aigateway-py`, and their signed links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aigateway import AIgateway  # type: ignore[import-untyped]  # ships no types

from tests.emulators import ark, bfl, google
from tests.gateway import rest

if TYPE_CHECKING:
    from tests.gateway.jobs.calls import Caller
    from tests.gateway.providers.providers import Providers

MADE = {
    "google/veo-3.1-fast": google.VIDEO,
    "bytedance/seedance-2.0": ark.VIDEO,
    "bfl/flux-3-video": bfl.MOVIE,
}


@pytest.mark.parametrize("model", sorted(MADE))
def test_video_is_made_waited_for_and_downloaded(caller: Caller, providers: Providers, model: str) -> None:
    url = caller.stack.url
    with AIgateway(caller.key, base_url=url, media_base_url=url) as client:
        accepted = client.jobs.create_video(model=model, prompt="a red kite over hills")
        done = client.jobs.wait(accepted.id, timeout_seconds=60, poll_interval_seconds=0.3)
        assert (done.status, done.modality, done.model) == ("completed", "video", model)
        name = done.result_url.partition("?")[0].rpartition("/")[2]
        assert name == "0.mp4"
        assert client.files.download(accepted.id, name) == MADE[model]
        signed = client.files.signed_url(accepted.id, name)["url"]
    assert providers.billed() == {model.partition("/")[0]: 1}
    for link in (signed, done.result_url):
        whole = rest.ask(caller.stack, "GET", rest.link(caller.stack, link), key="")
        assert (whole.status, whole.body) == (200, MADE[model])
        assert (whole.headers["content-type"], whole.headers["accept-ranges"]) == ("video/mp4", "bytes")
        part = rest.ask(caller.stack, "GET", rest.link(caller.stack, link), headers={"range": "bytes=4-11"}, key="")
        assert (part.status, part.body) == (206, MADE[model][4:12])
        assert part.headers["content-range"] == f"bytes 4-11/{len(MADE[model])}"
        assert part.headers["etag"] == whole.headers["etag"]


def test_video_without_waiting_is_a_job_of_its_type(caller: Caller, providers: Providers) -> None:
    fields = {"model": "google/veo-3.1-fast", "prompt": "a red kite", "seconds": 6, "aspect_ratio": "9:16"}
    answer = caller.ask("POST", "/v1/videos/generations", fields)
    assert answer.status == 202, answer.body
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["type"], job["modality"], job["provider"]) == ("video.generation", "video", "google")
    ended = caller.end(job["id"])
    assert ended["status"] == "completed", ended
    assert ended["result"]["data"][0]["media_type"] == "video/mp4"
    parameters = providers["google"].sent[0].json["parameters"]
    assert (parameters["durationSeconds"], parameters["aspectRatio"]) == (6, "9:16")
    assert providers.billed() == {"google": 1}
