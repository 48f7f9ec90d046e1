"""Identity of replicas: copied data directories, and a name that another process has claimed."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from imagegateway.jobs.membership import BUCKET
from imagegateway.platform import setting_source, settings
from imagegateway.platform.nats import connect

from tests.fleet.part import READY_SECONDS
from tests.fleet.test_lost_hosts import bfl, release, submit
from tests.support.stack import eventually

if TYPE_CHECKING:
    from tests.emulators.bfl import Bfl
    from tests.fleet.fleet import Fleet

__all__ = ["bfl"]


def test_router_on_a_cloned_host_takes_no_job_of_the_original(fleet: Fleet, bfl: Bfl) -> None:
    """The clone has the same host name and the same path of its data directory."""
    if not fleet.hosts[1].namespace:
        pytest.skip("a process needs its own mounts for the same path")
    original = fleet.folder / "router-0"
    taken_over = _taken_over(fleet)
    jobs = submit(fleet, "router-0", 3)
    clone = fleet.add_router(4, data_dir=str(original))
    copied = shutil.copytree(original, fleet.folder / "clone", ignore=shutil.ignore_patterns("*.sock"))
    mount = 'mount --bind "$0" "$1" && shift && exec "$@"'
    clone.arguments = ["unshare", "--mount", "sh", "-c", mount, str(copied), str(original), *clone.arguments]
    try:
        clone.start()
        clone.wait_ready()
        jobs += submit(fleet, clone.name, 3)
        eventually(lambda: len(bfl.tasks) == len(jobs), 60, "all tasks are accepted")
        release(bfl)
        assert [fleet.caller().end(job)["status"] for job in jobs] == ["completed"] * len(jobs)
    finally:
        clone.stop()
        del fleet.parts[clone.name]
    assert "replica_name_in_use" in clone.text()
    assert (copied / "replica-0").read_text() != (original / "replica-0").read_text()
    assert len(bfl.tasks) == len(jobs)
    assert _taken_over(fleet) == taken_over
    assert clone.name not in fleet.parts


def test_router_whose_name_is_claimed_reports_it_and_ends(fleet: Fleet) -> None:
    part = fleet.parts["router-2"]
    name = (fleet.folder / part.name / "replica-0").read_text().strip()
    asyncio.run(_claim(fleet, name))
    seen: set[int] = set()
    deadline = time.monotonic() + READY_SECONDS
    while part.is_running and time.monotonic() < deadline:
        seen.add(part.status("/readyz"))
        time.sleep(0.05)
    assert part.process
    assert part.process.poll() == 1
    assert 503 in seen
    assert "membership: IdentityTakenError" in part.text()
    part.start()
    fleet.wait_ready()


def _taken_over(fleet: Fleet) -> float:
    """Return the number of jobs that the original has taken over from others."""
    return fleet.parts["router-0"].scrape().total("imagegateway_jobs_taken_over_total")


async def _claim(fleet: Fleet, name: str) -> None:
    """Claim a replica's name as another process does."""
    values = {f"{setting_source.PREFIX}{name.upper()}": value for name, value in fleet.settings.items()}
    client = await connect(settings.load(setting_source.Source(values)), "test")
    try:
        await (await client.jetstream().key_value(BUCKET)).put(name, b"intruder")
    finally:
        await client.close()
