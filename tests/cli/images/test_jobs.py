"""Commands `jobs`: list, show, watch, download, cancel and erase."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from imagegateway.cli.images import job

from tests.support.fake_gateway import FAILED, HALFWAY, JOB_ID, QUEUED

if TYPE_CHECKING:
    from tests.cli.images.conftest import Run
    from tests.support.fake_gateway import FakeGateway


def test_list_has_a_line_for_each_job(run: Run, gateway: FakeGateway) -> None:
    gateway.facts = {"request": {"prompt": "A red\x1b[31m fox " + "x" * 50}}
    header, row = run("jobs", "list", "--status", "queued", "--model", "bfl/flux-2-pro").stdout.splitlines()
    assert header.split() == ["ID", "AGE", "STATUS", "MODEL", "COST", "PROMPT"]
    assert re.match(rf"{JOB_ID}  \d+ \w+ +queued, 2 ahead  bfl/flux-2-pro", row)
    assert "\\x1b" in row
    assert row.endswith("…")
    (call,) = gateway.received
    assert call.query == {"status": "queued", "model": "bfl/flux-2-pro", "page_size": "20"}


@pytest.mark.parametrize(
    ("seconds", "age"), [(-5, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (200_000, "2 d")]
)
def test_age_has_its_largest_unit(seconds: int, age: str) -> None:
    assert job.age({"created_at": 1_790_000_000}, 1_790_000_000 + seconds) == age


def test_list_as_json_has_whole_jobs(run: Run) -> None:
    document = json.loads(run("jobs", "list", "--json", "--limit", "1000").stdout)
    assert [job["id"] for job in document["data"]] == [JOB_ID]


def test_show_has_request_cost_and_files(run: Run) -> None:
    fields = dict(line.split(maxsplit=1) for line in run("jobs", "show", JOB_ID).stdout.splitlines())
    assert fields.items() >= {"status": "completed", "prompt": "A red fox", "cost": "0.04 USD (estimate)"}.items()
    assert fields["file"].startswith("1")
    assert json.loads(run("jobs", "show", JOB_ID, "--json").stdout)["id"] == JOB_ID


def test_show_of_a_failed_job_has_its_error(run: Run, gateway: FakeGateway) -> None:
    gateway.end = FAILED
    assert "The provider is unreachable. [provider_unavailable]" in run("jobs", "show", JOB_ID).stdout


def test_watch_waits_and_saves_the_files(run: Run, gateway: FakeGateway) -> None:
    gateway.life = [QUEUED, HALFWAY, HALFWAY]
    done = run("jobs", "watch", JOB_ID, "--output", "fox.png")
    assert (done.returncode, done.stdout) == (0, "fox.png\n"), done.stderr
    assert Path("fox.png").read_bytes() == gateway.files["0.png"]


def test_download_saves_the_files_again_under_a_free_name(run: Run) -> None:
    names = [run("jobs", "download", JOB_ID).stdout for _ in range(2)]
    assert names == ["a-red-fox-6d5e4f.png\n", "a-red-fox-6d5e4f-2.png\n"]


def test_download_of_a_running_job_names_the_command_that_waits(run: Run, gateway: FakeGateway) -> None:
    gateway.life = [QUEUED, QUEUED]
    done = run("jobs", "download", JOB_ID)
    assert done.returncode == 1
    assert f"wait for it with `imagegateway jobs watch {JOB_ID}`" in done.stderr


def test_cancel_ends_the_job(run: Run, gateway: FakeGateway) -> None:
    assert run("jobs", "cancel", JOB_ID).stdout == f"{JOB_ID} is cancelled\n"
    assert [(call.method, call.path) for call in gateway.received] == [("POST", f"/v1/jobs/{JOB_ID}/cancel")]


def test_erase_needs_a_confirmation(run: Run, gateway: FakeGateway) -> None:
    done = run("jobs", "erase", JOB_ID)
    assert done.returncode == 2
    assert "confirm it with --yes" in done.stderr
    assert gateway.received == []
    assert run("jobs", "erase", JOB_ID, "--yes").stdout == f"{JOB_ID} is erased\n"


@pytest.mark.parametrize("action", ["show", "watch", "download", "cancel", "erase"])
@pytest.mark.parametrize("text", ["fox", "job_../../v1/models", "job_", ""])
def test_text_that_is_no_job_id_is_wrong_use(run: Run, gateway: FakeGateway, action: str, text: str) -> None:
    done = run("jobs", action, text, *(["--yes"] if action == "erase" else []))
    assert done.returncode == 2
    assert gateway.received == []


def test_unknown_job_is_an_error(run: Run) -> None:
    done = run("jobs", "show", "job_00000000000000000000000000")
    assert (done.returncode, done.stderr) == (1, "imagegateway: There is no such job.\n")
