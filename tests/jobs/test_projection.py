"""The list of jobs: pages, filters, expiry, and what a restart finds."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import GatewayError
from services.jobs import states
from services.jobs.projection import Projection
from services.jobs.stream import RECORD_SECONDS, Entry
from tests.jobs import records

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def listed() -> Iterator[Projection]:
    projection = Projection(Path(":memory:"))
    yield projection
    projection.close()


def put(
    projection: Projection,
    seq: int,
    job_id: str,
    *,
    tenant: str = "acme",
    state: records.StateValue = states.QUEUED,
    created: int = 1000,
    model: str = "local/sketch",
    next_at: int = 0,
) -> None:
    record = records.job(job_id=job_id, tenant=tenant, state=state)
    record.created_at = created
    record.updated_at = created
    record.task.model = model
    record.webhook.next_at = next_at
    projection.apply(Entry(seq, record))


def pages(
    projection: Projection, tenant: str = "acme", status: str = "", model: str = "", size: int = 2
) -> list[str]:
    """All ids, page by page."""
    found: list[str] = []
    token = ""
    while True:
        page = projection.page(tenant, status, model, size, token)
        assert len(page.ids) <= size
        assert page.ids or not token
        found += page.ids
        token = page.next_token
        if not token:
            return found


def test_newest_first_page_by_page(listed: Projection) -> None:
    # Two were made in the same millisecond: the id decides.
    for seq, (job_id, created) in enumerate([("a", 10), ("b", 999), ("c", 999), ("d", 1000), ("e", 5)], 1):
        put(listed, seq, job_id, created=created)
    assert pages(listed) == ["d", "c", "b", "a", "e"]
    assert pages(listed, size=1) == pages(listed, size=5) == pages(listed)
    assert listed.page("acme", "", "", 5, "").next_token == ""
    assert pages(listed, tenant="nobody") == []


def test_new_jobs_do_not_shift_pages(listed: Projection) -> None:
    for seq in range(1, 5):
        put(listed, seq, f"j{seq}", created=seq)
    first = listed.page("acme", "", "", 2, "")
    assert first.ids == ["j4", "j3"]
    put(listed, 5, "j5", created=5)
    put(listed, 6, "j3", created=3, state=states.CANCELLED)
    assert listed.page("acme", "", "", 2, first.next_token).ids == ["j2", "j1"]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["acme", "other"])), max_size=30),
    st.integers(1, 7),
)
def test_pages_have_each_job_once(jobs: list[tuple[int, str]], size: int) -> None:
    projection = Projection(Path(":memory:"))
    for seq, (created, tenant) in enumerate(jobs, 1):
        put(projection, seq, f"job{seq:02}", created=created, tenant=tenant)
    wanted = [
        f"job{seq:02}"
        for created, seq in sorted(
            ((created, seq) for seq, (created, tenant) in enumerate(jobs, 1) if tenant == "acme"), reverse=True
        )
    ]
    assert pages(projection, size=size) == wanted
    projection.close()


def test_filters(listed: Projection) -> None:
    for seq, state in enumerate(sorted(states.PUBLIC), 1):
        put(listed, seq, f"j{seq}", state=state, created=seq, model=f"local/{seq % 2}")
    assert pages(listed, status="queued") == ["j1"]
    assert pages(listed, status="running") == ["j7", "j3", "j2"]
    assert pages(listed, status="completed") == ["j4"]
    assert pages(listed, status="failed") == ["j5"]
    assert pages(listed, status="cancelled") == ["j6"]
    assert pages(listed, model="local/1") == ["j7", "j5", "j3", "j1"]
    assert pages(listed, status="running", model="local/1") == ["j7", "j3"]
    assert pages(listed, model="' or 1 --") == []


@pytest.mark.parametrize("status", ["Queued", "submitting", "done", "' or 1 --"])
def test_an_unknown_status(listed: Projection, status: str) -> None:
    with pytest.raises(GatewayError) as caught:
        listed.page("acme", status, "", 2, "")
    assert (caught.value.code, caught.value.param) == ("invalid_value", "status")
    assert "queued, running, completed, failed, cancelled" in caught.value.message


TEXTS = (b"1", b"a:b", b"1:b:c", b":b", b"1.5:b", b"\xff\xfe:b", b"9" * 5000 + b":b")
TOKENS = ["x", "!", "é", "a" * 5000, "====", *(base64.urlsafe_b64encode(text).decode() for text in TEXTS)]


@pytest.mark.parametrize("token", TOKENS, ids=range(len(TOKENS)))
def test_a_bad_token(listed: Projection, token: str) -> None:
    with pytest.raises(GatewayError) as caught:
        listed.page("acme", "", "", 2, token)
    assert (caught.value.code, caught.value.param) == ("invalid_value", "page_token")


def test_a_token_opens_no_other_tenants_list(listed: Projection) -> None:
    for seq in range(1, 5):
        put(listed, seq, f"j{seq}", created=seq, tenant="acme" if seq % 2 else "other")
    token = listed.page("acme", "", "", 1, "").next_token
    assert listed.page("other", "", "", 5, token).ids == ["j2"]


@pytest.mark.parametrize("created", [10**25, -(10**25), 2**63])
def test_a_made_up_token_harms_nothing(listed: Projection, created: int) -> None:
    put(listed, 1, "j1")
    token = base64.urlsafe_b64encode(f"{created}:zzz".encode()).decode().rstrip("=")
    assert listed.page("acme", "", "", 5, token).ids in ([], ["j1"])


def test_older_news_change_nothing(listed: Projection) -> None:
    put(listed, 7, "j", state=states.COMPLETED)
    put(listed, 5, "j", state=states.RUNNING)
    assert pages(listed, status="completed") == ["j"]
    assert listed.unended() == []


def test_what_is_not_over(listed: Projection) -> None:
    for seq, state in enumerate(sorted(states.PUBLIC), 1):
        put(listed, seq, f"j{seq}", state=state)
    put(listed, 10, "due", state=states.FAILED, next_at=12345)
    assert sorted(listed.unended()) == ["due", "j1", "j2", "j3", "j7"]
    put(listed, 11, "due", state=states.FAILED)
    assert sorted(listed.unended()) == ["j1", "j2", "j3", "j7"]


def test_expiry(listed: Projection) -> None:
    now = 5_000_000.0
    old = round((now - RECORD_SECONDS) * 1000)
    put(listed, 1, "old", state=states.COMPLETED, created=old - 1)
    put(listed, 2, "young", state=states.COMPLETED, created=old + 1)
    put(listed, 3, "open", state=states.RUNNING, created=old - 1)
    assert listed.expire(now) == 1
    assert sorted(pages(listed)) == ["open", "young"]
    assert listed.expire(now) == 0


def test_the_position_survives(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "jobs.sqlite"
    projection = Projection(path)
    assert projection.position == 0
    put(projection, 1, "j1")
    projection.reach(41)
    assert projection.position == 41
    projection.close()
    projection = Projection(path)
    assert projection.position == 41
    assert pages(projection) == ["j1"]
    projection.reset()
    assert projection.position == 0
    assert pages(projection) == []
    projection.close()


def test_position_and_jobs_are_never_torn_apart(tmp_path: Path) -> None:
    """A crash may lose the tail, but never a job below the position."""
    path = tmp_path / "jobs.sqlite"
    crashed = Projection(path)
    put(crashed, 1, "j1")
    crashed.reach(1)
    crashed.commit()
    put(crashed, 2, "j2")
    crashed.reach(2)
    # Nothing is committed of the second: what another process finds is what a crash leaves.
    found = Projection(path)
    assert found.position == 1
    assert pages(found) == ["j1"]
    found.close()
    crashed.close()


def test_another_schema_is_built_anew(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    old = sqlite3.connect(path)
    old.executescript(
        "create table jobs (id text); insert into jobs values ('x');"
        "create table position (seq integer); insert into position values (99); pragma user_version = 999;"
    )
    old.close()
    projection = Projection(path)
    assert projection.position == 0
    assert projection.unended() == []
    put(projection, 1, "j1")
    assert pages(projection) == ["j1"]
    projection.close()
