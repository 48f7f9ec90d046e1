"""Job list index: pages, filters, expiry and restarts."""

from __future__ import annotations

import asyncio
import base64
import gc
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.jobs import list_file, list_index, states
from imagegateway.jobs.list_file import JobListFile, row_of
from imagegateway.jobs.list_index import JobListIndex
from imagegateway.jobs.list_query import Query
from imagegateway.jobs.retention import DAY_SECONDS, RECORD_DAYS
from imagegateway.jobs.stream import Entry
from imagegateway.platform.errors import GatewayError

from tests.jobs import records

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from imagegateway.jobs.list_file import Row
    from imagegateway.jobs.stored_bytes import MessageRow


@pytest.fixture
def listed() -> Iterator[JobListFile]:
    file = JobListFile(Path(":memory:"))
    yield file
    file.close()


def put(
    file: JobListFile,
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
    file.write([row_of(Entry(seq, record))], seq)


def pages(
    file: JobListFile, tenant: str | None = "acme", status: str = "", model: str = "", size: int = 2
) -> list[str]:
    """Return all ids, read page by page."""
    found: list[str] = []
    token = ""
    while True:
        page = file.page(Query(tenant, status, model, size, token))
        assert len(page.ids) <= size
        assert page.ids or not token
        found += page.ids
        token = page.next_token
        if not token:
            return found


def test_pages_are_newest_first(listed: JobListFile) -> None:
    # Two jobs of the same millisecond are ordered by id.
    for seq, (job_id, created) in enumerate([("a", 10), ("b", 999), ("c", 999), ("d", 1000), ("e", 5)], 1):
        put(listed, seq, job_id, created=created)
    assert pages(listed) == ["d", "c", "b", "a", "e"]
    assert pages(listed, size=1) == pages(listed, size=5) == pages(listed)
    assert listed.page(Query("acme", "", "", 5, "")).next_token == ""
    assert pages(listed, tenant="another") == []


def test_pages_of_all_tenants_are_newest_first_by_the_primary_key(listed: JobListFile) -> None:
    for seq, (job_id, tenant, state) in enumerate(
        [("job_1", "a", states.FAILED), ("job_2", "b", states.QUEUED), ("job_3", "a", states.QUEUED)], 1
    ):
        put(listed, seq, job_id, tenant=tenant, state=state, created=seq)
    assert pages(listed, tenant=None) == pages(listed, tenant=None, size=1) == ["job_3", "job_2", "job_1"]
    assert pages(listed, tenant=None, status="queued") == ["job_3", "job_2"]
    assert pages(listed, tenant="") == [], "an empty name is no tenant"
    statement, values = Query(None, token=listed.page(Query(None, size=1)).next_token).sql()
    (plan,) = listed._db.execute(f"explain query plan {statement}", values).fetchall()
    assert "USING PRIMARY KEY" in plan[3]


def test_new_jobs_do_not_shift_pages(listed: JobListFile) -> None:
    for seq in range(1, 5):
        put(listed, seq, f"j{seq}", created=seq)
    first = listed.page(Query("acme", "", "", 2, ""))
    assert first.ids == ["j4", "j3"]
    put(listed, 5, "j5", created=5)
    put(listed, 6, "j3", created=3, state=states.CANCELLED)
    assert listed.page(Query("acme", "", "", 2, first.next_token)).ids == ["j2", "j1"]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["acme", "other"])), max_size=30),
    st.integers(1, 7),
)
def test_pages_have_each_job_once(jobs: list[tuple[int, str]], size: int) -> None:
    file = JobListFile(Path(":memory:"))
    for seq, (created, tenant) in enumerate(jobs, 1):
        put(file, seq, f"job{seq:02}", created=created, tenant=tenant)
    wanted = [
        f"job{seq:02}"
        for created, seq in sorted(
            ((created, seq) for seq, (created, tenant) in enumerate(jobs, 1) if tenant == "acme"), reverse=True
        )
    ]
    assert pages(file, size=size) == wanted
    file.close()


def test_filters_select_by_status_and_model(listed: JobListFile) -> None:
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
def test_unknown_status_is_refused(listed: JobListFile, status: str) -> None:
    with pytest.raises(GatewayError) as caught:
        listed.page(Query("acme", status, "", 2, ""))
    assert (caught.value.code, caught.value.param) == ("invalid_value", "status")
    assert "queued, running, completed, failed, cancelled" in caught.value.message


TEXTS = (b"1", b"a:b", b"1:b:c", b":b", b"1.5:b", b"\xff\xfe:b", b"9" * 5000 + b":b")
TOKENS = ["x", "!", "é", "a" * 5000, "====", *(base64.urlsafe_b64encode(text).decode() for text in TEXTS)]


@pytest.mark.parametrize("token", TOKENS, ids=range(len(TOKENS)))
def test_invalid_token_is_refused(listed: JobListFile, token: str) -> None:
    with pytest.raises(GatewayError) as caught:
        listed.page(Query("acme", "", "", 2, token))
    assert (caught.value.code, caught.value.param) == ("invalid_value", "page_token")


def test_a_token_opens_no_other_tenants_list(listed: JobListFile) -> None:
    for seq in range(1, 5):
        put(listed, seq, f"j{seq}", created=seq, tenant="acme" if seq % 2 else "other")
    token = listed.page(Query("acme", "", "", 1, "")).next_token
    assert listed.page(Query("other", "", "", 5, token)).ids == ["j2"]


@pytest.mark.parametrize("created", [10**25, -(10**25), 2**63])
def test_forged_page_token_lists_own_jobs_only(listed: JobListFile, created: int) -> None:
    put(listed, 1, "j1")
    token = base64.urlsafe_b64encode(f"{created}:zzz".encode()).decode().rstrip("=")
    assert listed.page(Query("acme", "", "", 5, token)).ids in ([], ["j1"])


def test_older_rows_change_nothing(listed: JobListFile) -> None:
    put(listed, 7, "j", state=states.COMPLETED)
    put(listed, 5, "j", state=states.RUNNING)
    assert pages(listed, status="completed") == ["j"]
    assert listed.unfinished() == []


def test_unfinished_jobs_are_listed_for_the_feed(listed: JobListFile) -> None:
    for seq, state in enumerate(sorted(states.PUBLIC), 1):
        put(listed, seq, f"j{seq}", state=state)
    put(listed, 10, "due", state=states.FAILED, next_at=12345)
    assert sorted(listed.unfinished()) == ["due", "j1", "j2", "j3", "j7"]
    put(listed, 11, "due", state=states.FAILED)
    assert sorted(listed.unfinished()) == ["j1", "j2", "j3", "j7"]


def test_expired_jobs_are_deleted(listed: JobListFile) -> None:
    now = 5_000_000.0
    old = round((now - RECORD_DAYS * DAY_SECONDS) * 1000)
    put(listed, 1, "old", state=states.COMPLETED, created=old - 1)
    put(listed, 2, "young", state=states.COMPLETED, created=old + 1)
    put(listed, 3, "open", state=states.RUNNING, created=old - 1)
    assert listed.expire(now) == 1
    assert sorted(pages(listed)) == ["open", "young"]
    assert listed.expire(now) == 0


def test_position_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "jobs.sqlite"
    file = JobListFile(path)
    assert file.position == 0
    put(file, 1, "j1")
    file.write([], 41)
    assert file.position == 41
    file.close()
    file = JobListFile(path)
    assert file.position == 41
    assert pages(file) == ["j1"]
    file.close()


def test_other_schema_version_is_rebuilt(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    old = sqlite3.connect(path)
    old.executescript(
        "create table jobs (id text); insert into jobs values ('x');"
        "create table position (seq integer); insert into position values (99); pragma user_version = 999;"
    )
    old.close()
    file = JobListFile(path)
    assert file.position == 0
    assert file.unfinished() == []
    put(file, 1, "j1")
    assert pages(file) == ["j1"]
    file.close()


PLANS = [
    Query("acme"),
    Query("acme", token=base64.urlsafe_b64encode(b"5:j5").decode()),
    Query("acme", status="failed"),
    Query("acme", status="running", token=base64.urlsafe_b64encode(b"5:j5").decode()),
    Query("acme", model="local/sketch"),
    Query("acme", model="local/sketch", status="queued"),
]


def plan(file: JobListFile, statement: str, values: Sequence[object] = ()) -> list[str]:
    """Return SQLite's query plan."""
    return [row[3] for row in file._db.execute(f"explain query plan {statement}", values)]


@pytest.mark.parametrize("query", PLANS, ids=range(len(PLANS)))
def test_list_reads_only_rows_of_its_page(listed: JobListFile, query: Query) -> None:
    (step,) = plan(listed, *query.sql())
    assert step.startswith("SEARCH jobs USING COVERING INDEX")  # no scan, and no sort
    for name in ("status", "model"):
        assert bool(getattr(query, name)) == (f"{name}=?" in step)


def test_expiry_and_start_read_only_what_they_need(listed: JobListFile) -> None:
    (select, *_) = plan(
        listed,
        "delete from jobs where id in (select id from jobs where ended = 1 and expires_at < ? limit ?)",
        (5, 5),
    )[-1:]
    assert "INDEX first_job_to_expire (expires_at<?)" in select
    for statement in ("select id from jobs where ended = 0", "select id from jobs where webhook_at > 0"):
        (step,) = plan(listed, statement)
        assert "USING INDEX" in step


def test_expiry_deletes_in_batches(listed: JobListFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_file, "EXPIRE_ROWS", 2)
    for seq in range(1, 6):
        put(listed, seq, f"j{seq}", state=states.COMPLETED, created=seq)
    assert [listed.expire(RECORD_DAYS * DAY_SECONDS + 1) for _ in range(4)] == [2, 2, 1, 0]


# ---- writes


async def test_event_loop_runs_while_the_file_is_busy(tmp_path: Path) -> None:
    index = await JobListIndex.open(tmp_path / "jobs.sqlite", time.time)
    began, go_on = threading.Event(), threading.Event()

    def busy() -> None:
        began.set()
        assert go_on.wait(30)

    held = asyncio.ensure_future(index._call(busy))
    await asyncio.to_thread(began.wait)
    page = asyncio.create_task(index.page(Query("acme")))
    index.add(1, Entry(1, records.job(job_id="j1")))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not page.done()
    go_on.set()
    await held
    await page
    assert (await index.page(Query("acme"))).ids == ["j1"]
    await index.close()


async def test_rows_of_a_failed_write_are_written_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs no job: the position in the file stays before the missing rows."""
    index = await JobListIndex.open(tmp_path / "jobs.sqlite", time.time)
    write = JobListFile.write

    def full(*_arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(JobListFile, "write", full)
    job = records.job(job_id="j1")
    index.add(1, Entry(1, job))
    with pytest.raises(GatewayError) as caught:
        await index.page(Query("acme"))
    assert caught.value.code == "service_unavailable"
    assert index.position == 1
    job.state = states.COMPLETED
    index.add(2, Entry(2, job))
    monkeypatch.setattr(JobListFile, "write", write)
    assert (await index.page(Query("acme", status="completed"))).ids == ["j1"]
    await index.close()
    found = JobListFile(tmp_path / "jobs.sqlite")
    assert found.position == 2
    found.close()


async def test_rows_are_written_in_batches_that_each_reach_a_position(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_index, "WRITE_ROWS", 10)
    index = await JobListIndex.open(tmp_path / "jobs.sqlite", time.time)
    write, written = JobListFile.write, list[tuple[int, int]]()

    def recorded(file: JobListFile, rows: Collection[Row], position: int, messages: Collection[MessageRow]) -> None:
        written.append((len(messages), position))
        write(file, rows, position, messages)

    monkeypatch.setattr(JobListFile, "write", recorded)
    for seq in range(1, 26):
        index.add(seq, Entry(seq, records.job(job_id=f"j{seq}")))
    index.add(26, None)
    assert len((await index.page(Query("acme", size=100))).ids) == 25
    assert written == [(10, 10), (10, 20), (5, 26)]
    await index.page(Query("acme"))
    assert len(written) == 3, "nothing has changed"
    await index.close()


async def test_backlog_adds_few_objects_to_garbage_collections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_index, "WRITE_ROWS", 100)
    index = await JobListIndex.open(tmp_path / "jobs.sqlite", time.time)
    gc.collect()
    before = len(gc.get_objects())
    for seq in range(1, 2001):
        index.add(seq, Entry(seq, records.job(job_id=f"j{seq}")))
    assert len(gc.get_objects()) - before < 500
    assert (await index.page(Query("acme", size=100))).next_token
    await index.close()


async def test_change_during_a_write_is_in_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = await JobListIndex.open(tmp_path / "jobs.sqlite", time.time)
    began, go_on = threading.Event(), threading.Event()
    write = JobListFile.write

    def slow(file: JobListFile, rows: Collection[Row], position: int, messages: Collection[MessageRow]) -> None:
        began.set()
        assert go_on.wait(30)
        write(file, rows, position, messages)

    monkeypatch.setattr(JobListFile, "write", slow)
    job = records.job(job_id="j1")
    index.add(1, Entry(1, job))
    page = asyncio.create_task(index.page(Query("acme")))
    await asyncio.to_thread(began.wait)
    job.state = states.RUNNING
    index.add(2, Entry(2, job))
    go_on.set()
    assert (await page).ids == ["j1"]
    assert (await index.page(Query("acme", status="running"))).ids == ["j1"]
    await index.close()
