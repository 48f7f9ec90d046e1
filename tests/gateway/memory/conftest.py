"""The stack of the tests of memory: low limits, images of 12 MiB, providers with large answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.gateway.inputs import padded
from tests.gateway.jobs.stacks import kill, wait_back
from tests.gateway.memory import large_replies, large_video, limits
from tests.support.stack import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack

_ROUTER: Final = "router-0"


@pytest.fixture(scope="package")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    file: Path = tmp_path_factory.mktemp("image") / "image.png"
    file.write_bytes(padded(limits.LOCAL_IMAGE))
    memory = {"answer_memory": str(limits.ANSWERS), "body_memory": str(limits.BODIES)}
    with (
        large_replies.serving() as images,
        large_video.serving() as videos,
        running(
            **memory,
            local_image=str(file),
            openai_base_url=images,
            openai_api_key="k" * 20,
            bytedance_base_url=videos,
            bytedance_api_key="k" * 20,
            allow_hosts="127.0.0.1",
        ) as own,
    ):
        yield own


@pytest.fixture(scope="module")
def stack(limited: Stack) -> Stack:
    """Return the stack with a new router: freed memory in its allocator would count in the next module."""
    wait_back(limited, _ROUTER, kill(limited, _ROUTER))
    return limited
