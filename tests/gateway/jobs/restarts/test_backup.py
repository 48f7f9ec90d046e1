"""Backup while jobs run, loss of the whole data directory, and restore: docs/operations/backup.md."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from imagegateway.stack.config import binary

from tests.gateway import rest
from tests.gateway.jobs.calls import Caller
from tests.gateway.jobs.stacks import new_caller
from tests.support import command
from tests.support.stack import assert_gone, eventually, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.jobs.stacks import RestartableStack

_RUNNING_JOBS: Final = 2
"""They keep their slots until their owner has expired. The first image of the next start needs the third slot."""
_SECONDS: Final = 20.0


@contextmanager
def lone_nats(store: Path) -> Iterator[str]:
    """Run a NATS server on a folder, and yield its address."""
    port = free_port()
    address = f"nats://127.0.0.1:{port}"
    started = [binary("nats-server"), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(store)]
    with subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield address
        finally:
            server.terminate()


def test_backup_of_a_working_gateway_restores_jobs_keys_and_links(
    restartable: RestartableStack, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    stack = restartable
    caller = stack.caller
    acme = new_caller(stack.stack, "acme")
    made = caller.generate().json()
    url = made["data"][0]["url"]
    image = caller.fetch(url)
    running = [acme.submit(delay=3) for _ in range(_RUNNING_JOBS)]
    acme.until(running[0], "running")

    saved = stack.stack.command("backup", "save", str(folder))
    assert saved.returncode == 0, saved.stderr
    shutil.copytree(stack.stack.data_dir / "media", folder / "media")  # after the records that name its files
    shutil.copy(stack.stack.data_dir / "secret-key", folder)
    late = acme.submit()

    processes = stack.stack.descendants()
    stack.stack.process.kill()
    stack.stack.process.wait(_SECONDS)
    assert_gone(processes, _SECONDS)
    shutil.rmtree(stack.stack.data_dir)
    store = stack.stack.data_dir / "nats"
    store.mkdir(parents=True)
    with lone_nats(store) as address:

        def restored() -> bool:
            done = command.run("backup", "restore", str(folder), **stack.stack.values, nats_url=address)
            return done.returncode == 0

        eventually(restored, _SECONDS, "the backup is restored")
        again = command.run("backup", "restore", str(folder), **stack.stack.values, nats_url=address)
        assert again.returncode == 1
        assert "restore into a NATS account without streams" in again.stderr
    shutil.copytree(folder / "media", stack.stack.data_dir / "media")
    shutil.copy(folder / "secret-key", stack.stack.data_dir)
    stack.start()

    caller = stack.caller
    acme = Caller(caller.stack, acme.key)
    assert rest.ask(caller.stack, "GET", rest.link(caller.stack, url), key="").body == image
    assert caller.fetch(caller.job(made["id"])["result"]["data"][0]["url"]) == image
    assert made["id"] in [job["id"] for job in caller.jobs()]
    assert {acme.end(job)["status"] for job in running} == {"completed"}
    assert acme.ask("GET", f"/v1/jobs/{late}").status == 404
    assert acme.generate().status == 200


def test_backup_into_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    done = command.run("backup", "save", str(tmp_path))
    assert done.returncode == 1
    assert "is not empty" in done.stderr
