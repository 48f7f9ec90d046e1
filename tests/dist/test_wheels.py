"""Wheels of the gateway and of its client, each installed in its own environment by `make test-dist`."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zipfile import ZipFile

import pytest

from tests.support.command import environment
from tests.support.stack import eventually, free_port, short_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
GATEWAY: Final = ROOT / "build" / "gateway" / "bin"
CLIENT: Final = ROOT / "build" / "client" / "bin"
EXAMPLE: Final = re.compile(r"```python\n(.*?)```", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs from its wheel."""

    folder: Path
    port: int
    output: Path

    @property
    def key(self) -> str:
        found = re.search(r"Bearer (\S+)\"", self.output.read_text())
        assert found
        return found[1]


@contextmanager
def gateway() -> Iterator[Gateway]:
    """Run `imagegateway up` of the wheel in an empty folder outside the checkout."""
    with short_folder() as folder:
        port = free_port()
        empty = folder / "empty"
        empty.mkdir()
        running = Gateway(empty, port, folder / "output")
        with (
            running.output.open("wb") as output,
            subprocess.Popen(
                [GATEWAY / "imagegateway", "up"],
                cwd=empty,
                env=environment(port=str(port)),
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                eventually(
                    lambda: "Ctrl-C stops everything." in running.output.read_text() or process.poll() is not None,
                    90,
                    "the gateway is ready",
                )
                yield running
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0, running.output.read_text()


@pytest.fixture(scope="module")
def installed() -> Iterator[Gateway]:
    with gateway() as running:
        yield running


def test_wheel_of_the_gateway_makes_a_first_image_in_an_empty_folder(installed: Gateway) -> None:
    shown = re.search(r"first image +(\S+)", installed.output.read_text())
    assert shown
    assert Path(shown[1]).is_relative_to(installed.folder)
    assert Path(shown[1]).read_bytes().startswith(b"\x89PNG")


def test_example_of_the_client_gets_a_completed_job(installed: Gateway) -> None:
    found = EXAMPLE.search((ROOT / "packaging" / "client" / "README.md").read_text())
    assert found
    example = found[1].replace("127.0.0.1:8080", f"127.0.0.1:{installed.port}").replace("<your key>", installed.key)
    done = subprocess.run(
        [CLIENT / "python", "-c", example], capture_output=True, text=True, timeout=60, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("completed http")


def test_wheel_of_the_client_holds_stubs_and_the_client_only() -> None:
    done = subprocess.run(
        [CLIENT / "pip", "show", "--files", "imagegateway-client"], capture_output=True, text=True, check=True
    )
    files = done.stdout.partition("Files:\n")[2].split()
    modules = {name for name in files if name.endswith(".py")}
    assert {name.split("/")[1] for name in modules} == {"admin", "client", "v1"}
    assert {"imagegateway/client/py.typed", "imagegateway/v1/py.typed"} <= set(files)


def test_wheel_of_the_gateway_holds_every_file_of_the_page() -> None:
    (built,) = (ROOT / "dist").glob("imagegateway-*.whl")
    folder = ROOT / "services" / "imagegateway" / "media" / "web" / "page"
    with ZipFile(built) as wheel:
        names = {name.rpartition("/")[2] for name in wheel.namelist() if "/media/web/page/" in name}
    assert names == {path.name for path in folder.iterdir()}


def test_wheel_from_the_source_distribution_has_the_same_files(tmp_path: Path) -> None:
    (built,) = (ROOT / "dist").glob("imagegateway-*.whl")
    (source,) = (ROOT / "dist").glob("imagegateway-*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / source.name.removesuffix(".tar.gz")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=folder, check=True)
    with ZipFile(built) as left, ZipFile(folder / "dist" / built.name) as right:
        assert sorted(left.namelist()) == sorted(right.namelist())


@pytest.mark.parametrize("environment_bin", [GATEWAY, CLIENT])
def test_requirements_of_the_wheel_are_met(environment_bin: Path) -> None:
    done = subprocess.run([environment_bin / "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
