"""Usage file: sums, groups, pages, corrections and expiry."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.job.v1.usage_entry_pb2 import UsageEntry
from imagegateway.jobs.usage import file as usage_file
from imagegateway.jobs.usage.file import UsageFile
from imagegateway.jobs.usage.query import COLUMNS, Totals, UsageQuery
from imagegateway.platform.errors import GatewayError

from tests.support.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY = 86_400_000
NOON = 1_795_953_600_000  # 2026-11-29T12:00:00Z
CENT = 10_000_000


@pytest.fixture
def usage() -> Iterator[UsageFile]:
    file = UsageFile(Path(":memory:"))
    yield file
    file.close()


def entry(job_id: str, **fields: object) -> UsageEntry:
    known: dict[str, object] = {
        "record_seq": 1,
        "tenant": "acme",
        "key_id": "k1",
        "model": "local/sketch",
        "provider": "local",
        "modality": "image",
        "ended_at": NOON,
        "images": 1,
        "cost": CENT,
        "expires_at": 1 << 40,
    }
    return UsageEntry(job_id=job_id, **(known | fields))  # type: ignore[arg-type]


def rows(file: UsageFile, *names: str, size: int = 100, tenant: str | None = "acme") -> list[tuple[str, ...]]:
    """Return the values of all rows, read page by page."""
    found: list[tuple[str, ...]] = []
    token = ""
    while True:
        report = file.report(UsageQuery(tenant, group_by=names, size=size, token=token))
        assert len(report.rows) <= size
        found += [row.values for row in report.rows]
        token = report.next_token
        if not token:
            return found


def total(file: UsageFile, tenant: str | None = None, start: str = "", end: str = "") -> Totals:
    return file.report(UsageQuery(tenant, start=start, end=end)).total


def test_report_without_usage_has_sums_of_zero(usage: UsageFile) -> None:
    report = usage.report(UsageQuery("acme"))
    assert report.total == Totals()
    assert [row.totals for row in report.rows] == [Totals()]
    assert usage.report(UsageQuery("acme", group_by=("model",))).rows == []


def test_groups_have_their_own_sums(usage: UsageFile) -> None:
    usage.write([entry("a", images=2), entry("b", model="bfl/x", failed=True, images=0, cost=0)], 1)
    report = usage.report(UsageQuery("acme", group_by=("model",)))
    assert [(row.values, row.totals) for row in report.rows] == [
        (("bfl/x",), Totals(1, 0, 1, 0)),
        (("local/sketch",), Totals(1, 2, 0, CENT)),
    ]
    assert report.total == Totals(2, 2, 1, CENT)


def test_tenant_sees_its_own_usage_only(usage: UsageFile) -> None:
    usage.write([entry("a"), entry("b", tenant="other", cost=5 * CENT)], 1)
    assert total(usage, "acme").cost == CENT
    assert total(usage, None).cost == 6 * CENT
    assert rows(usage, "tenant", tenant=None) == [("acme",), ("other",)]


def test_period_includes_its_start_and_excludes_its_end(usage: UsageFile) -> None:
    midnight = NOON // DAY * DAY
    usage.write([entry("a", ended_at=midnight - 1), entry("b", ended_at=midnight), entry("c", ended_at=NOON)], 1)
    assert total(usage, start="2026-11-29").requests == 2
    assert total(usage, end="2026-11-29").requests == 1
    assert total(usage, start="2026-11-28", end="2026-11-29").requests == 1


def test_rows_come_in_order_of_the_day_first(usage: UsageFile) -> None:
    usage.write(
        [entry(f"{model}{day}", model=model, ended_at=NOON - day * DAY) for model in "ba" for day in (0, 2)], 1
    )
    assert rows(usage, "model", "day") == [
        ("2026-11-27", "a"),
        ("2026-11-27", "b"),
        ("2026-11-29", "a"),
        ("2026-11-29", "b"),
    ]


def test_metadata_groups_by_the_value_of_a_name(usage: UsageFile) -> None:
    odd = '"we.ird" name\''
    usage.write(
        [
            entry("a", metadata={"team": "red", odd: "x"}),
            entry("b", metadata={"team": "blue"}),
            entry("c", metadata={"team": "red"}),
            entry("d"),
        ],
        1,
    )
    assert rows(usage, "metadata.team") == [("",), ("blue",), ("red",)]
    assert rows(usage, f"metadata.{odd}", "metadata.team") == [("", ""), ("", "blue"), ("", "red"), ("x", "red")]


def test_pages_join_to_the_whole_report(usage: UsageFile) -> None:
    usage.write([entry(f"j{number}", user=f"u{number:02}") for number in range(7)], 1)
    whole = rows(usage, "user")
    assert whole == rows(usage, "user", size=1) == rows(usage, "user", size=3) == rows(usage, "user", size=7)
    assert len(whole) == 7


def test_newer_record_of_a_job_replaces_its_entry(usage: UsageFile) -> None:
    usage.write([entry("a", record_seq=5, cost=0, images=0, failed=True)], 1)
    usage.write([entry("a", record_seq=9, cost=3 * CENT, images=0, failed=True)], 2)
    usage.write([entry("a", record_seq=5, cost=0)], 3)
    assert total(usage) == Totals(1, 0, 1, 3 * CENT)


def test_message_that_comes_twice_counts_once(usage: UsageFile) -> None:
    for seq in (1, 2):
        usage.write([entry("a"), entry("b")], seq)
    assert total(usage) == Totals(2, 2, 0, 2 * CENT)
    assert usage.messages_of(["a", "unknown"]) == [2]


def test_erased_job_keeps_its_cost_without_user_and_metadata(usage: UsageFile) -> None:
    usage.write([entry("a", user="u-1", metadata={"team": "red"})], 1)
    usage.write([entry("a", record_seq=2)], 2)
    assert rows(usage, "user", "metadata.team") == [("", "")]
    assert total(usage).cost == CENT


def test_expired_jobs_are_subtracted_in_batches(usage: UsageFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_file, "EXPIRE_ROWS", 2)
    usage.write([entry(f"j{number}", expires_at=100 + number // 3) for number in range(4)], 1)
    assert [usage.expire(101.0) for _ in range(3)] == [2, 1, 0]
    assert total(usage) == Totals(1, 1, 0, CENT)
    assert usage.expire(10.0**6) == 1
    assert rows(usage, "model") == []


def test_spending_of_a_key_or_tenant_begins_at_a_day(usage: UsageFile) -> None:
    usage.write([entry("a"), entry("b", ended_at=NOON - DAY), entry("c", key_id="k2"), entry("d", tenant="other")], 1)
    assert usage.spent("acme", "k1", "2026-11-29", ()) == CENT
    assert usage.spent("acme", "k1", "1970-01-01", ()) == 2 * CENT
    assert usage.spent("acme", "", "1970-01-01", ()) == 3 * CENT
    assert usage.spent("unknown", "", "1970-01-01", ()) == 0


def test_spending_leaves_out_jobs_by_id(usage: UsageFile) -> None:
    usage.write([entry(f"j{number}") for number in range(1200)], 1)
    usage.write([entry("old", ended_at=NOON - DAY), entry("stranger", tenant="other")], 2)
    without = {f"j{number}" for number in range(1199)} | {"old", "stranger", "unknown"}
    assert usage.spent("acme", "k1", "2026-11-29", without) == CENT
    assert len(usage.messages_of(without)) == 2


@pytest.mark.parametrize("names", [("colour",), ("metadata.",), ("model", "model"), (*COLUMNS,), ("",)])
def test_invalid_grouping_is_refused_by_name(names: tuple[str, ...]) -> None:
    with pytest.raises(GatewayError) as caught:
        UsageQuery("acme", group_by=names)
    assert caught.value.param == "group_by"


@pytest.mark.parametrize("token", ["x", "W10", "W1sibW9kZWwiXSwgW11d", "W1tdLCBbXV0"])
def test_invalid_page_token_is_refused_by_name(usage: UsageFile, token: str) -> None:
    with pytest.raises(GatewayError) as caught:
        usage.report(UsageQuery("acme", group_by=("model",), token=token))
    assert caught.value.param == "page_token"


def test_file_of_another_version_and_a_damaged_file_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "usage.sqlite"
    path.write_bytes(b"no database" * 1000)
    file = UsageFile(path)
    file.write([entry("a")], 7)
    file.close()
    file = UsageFile(path)
    assert (file.position, total(file).requests) == (7, 1)
    file.close()


ENTRIES = st.builds(
    entry,
    st.sampled_from([f"j{number}" for number in range(6)]),
    record_seq=st.integers(1, 5),
    key_id=st.sampled_from(["k1", "k2"]),
    user=st.sampled_from(["", "u"]),
    images=st.integers(0, 3),
    failed=st.booleans(),
    cost=st.integers(0, 10**12),
)


@settings(max_examples=examples(0.6), deadline=None)
@given(st.lists(st.lists(ENTRIES, max_size=4), max_size=6))
def test_sums_equal_those_of_the_newest_entries(batches: list[list[UsageEntry]]) -> None:
    """The entry of the newest record counts, in whatever order and how often messages come."""
    file = UsageFile(Path(":memory:"))
    newest: dict[str, UsageEntry] = {}
    for seq, batch in enumerate(batches, 1):
        file.write(batch, seq)
        for each in batch:
            if each.job_id not in newest or each.record_seq >= newest[each.job_id].record_seq:
                newest[each.job_id] = each
    assert total(file).cost == sum(each.cost for each in newest.values())
    by_key = Counter[str]()
    for each in newest.values():
        by_key[each.key_id] += each.images
    report = file.report(UsageQuery(None, group_by=("key",)))
    assert {row.values[0]: row.totals.images for row in report.rows} == dict(by_key)
    assert Decimal(total(file).cost) == sum(Decimal(row.totals.cost) for row in report.rows)
    file.close()
