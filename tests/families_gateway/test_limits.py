"""What a provider allows at once: callers wait for their turn and are not refused; one limit slows all down."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tests.families_gateway.asking import over_rest, request
from tests.families_gateway.providers import submissions
from tests.families_gateway.test_failures import changed
from tests.stack import eventually

if TYPE_CHECKING:
    from tests.families_gateway.asking import Said
    from tests.families_gateway.providers import Providers
    from tests.jobs_gateway.calls import Caller


def at_once(caller: Caller, count: int, fields: dict[str, Any]) -> list[Said]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: over_rest(caller, fields), range(count)))


def test_more_calls_than_are_taken_at_once_wait_for_their_turn(caller: Caller, providers: Providers) -> None:
    with changed(providers["ideogram"], seconds=0.2):
        said = at_once(caller, 25, request("ideogram/ideogram-v3", aspect_ratio="1:1"))
    assert not [one.failure for one in said if one.failure]
    assert len(submissions(providers["ideogram"])) == providers["ideogram"].billed == 25, "none was refused"


def test_jobs_of_several_tasks_count_by_their_tasks(caller: Caller, providers: Providers) -> None:
    with changed(providers["bfl"], script=("Pending", "Ready")):
        said = at_once(caller, 3, request("bfl/flux-2-pro", n=10, size="64x64"))
    assert [len(one.pictures) for one in said] == [10, 10, 10]
    assert providers["bfl"].billed == 30
    assert len(submissions(providers["bfl"])) == 30, "none was refused"


def test_limit_that_one_call_meets_slows_the_next_one_down(caller: Caller, providers: Providers) -> None:
    emulator, fields = providers["cloudflare"], request("bfl/flux-2-dev", size="256x256")
    emulator.failures[:] = [(429, {}, {"retry-after": "2"})]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(over_rest, caller, fields)
        eventually(lambda: bool(emulator.sent), 10, "the limit is met")
        time.sleep(0.2)
        began = time.monotonic()
        second = over_rest(caller, fields)
        assert second.failure is None, second.failure
        assert time.monotonic() - began > 1.5
        assert first.result().failure is None
    assert len(emulator.sent) == 3


def test_another_key_does_not_wait_for_it(caller: Caller, providers: Providers) -> None:
    emulator, fields = providers["cloudflare"], request("bfl/flux-2-dev", size="256x256")
    emulator.failures[:] = [(429, {}, {"retry-after": "2"})]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(over_rest, caller, fields)
        eventually(lambda: bool(emulator.sent), 10, "the limit is met")
        began = time.monotonic()
        other = over_rest(caller, fields, {"x-byok-cloudflare": "caller-wrong"})
        assert other.failure is not None
        assert time.monotonic() - began < 1.5
        assert first.result().failure is None
