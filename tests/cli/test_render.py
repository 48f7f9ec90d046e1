"""`imagegateway render envoy`: documents that Envoy accepts, and wrong options."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from imagegateway.stack.config import binary

from tests.support import command
from tests.support.certificates import Authority
from tests.support.process_certificates import ProcessAuthority, environment

if TYPE_CHECKING:
    from pathlib import Path

STATIC = (
    "--routers",
    "tcp://10.0.0.1:1, tcp://[::1]:1",
    "--uploads",
    "unix:/run/uploads",
    "--media",
    "tcp://10.0.0.3:3",
)
DNS = ("--routers", "dns://router.svc:1", "--uploads", "tcp://router.svc:2", "--media", "dns://media.svc:3")


def rendered(folder: Path, *options: str, **values: str) -> str:
    """Return the document."""
    given = {"data_dir": str(folder / "data"), "secret_key": "0123456789abcdef", **values}
    done = command.run("render", "envoy", *options, **given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def accepted(folder: Path, document: str) -> str:
    """Return the document, after Envoy has accepted it in a second of CPU time."""
    config = folder / "envoy.yaml"
    config.write_text(document)
    checked = subprocess.run(
        [binary("envoy"), "--mode", "validate", "--log-level", "warning", "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "eprecated" not in checked.stderr
    return document


def clusters(document: str) -> dict[str, Any]:
    """Return the clusters of a document by name."""
    return {
        cluster["name"]: cluster for cluster in yaml.load(document, yaml.CSafeLoader)["static_resources"]["clusters"]
    }


@pytest.mark.processes
def test_fixed_addresses_and_unix_sockets(tmp_path: Path) -> None:
    found = clusters(accepted(tmp_path, rendered(tmp_path, *STATIC)))
    assert {name: cluster["type"] for name, cluster in found.items()} == {
        "router": "STATIC",
        "uploads": "STATIC",
        "media": "STATIC",
    }
    assert "health_checks" in found["router"]
    assert "health_checks" not in found["uploads"], "a process that stops removes its socket"
    assert "transport_socket" not in found["router"]


@pytest.mark.processes
def test_endpoints_come_from_a_file_for_each_cluster(tmp_path: Path) -> None:
    for name in ("router", "uploads", "media"):
        (tmp_path / f"{name}.yaml").write_text("resources: []")
    found = clusters(accepted(tmp_path, rendered(tmp_path, "--eds", str(tmp_path))))
    for name, cluster in found.items():
        assert cluster["type"] == "EDS"
        source = cluster["eds_cluster_config"]["eds_config"]["path_config_source"]
        assert source == {"path": str(tmp_path / f"{name}.yaml")}


@pytest.mark.processes
@pytest.mark.parametrize("folder", ["files", "data/run"])
def test_processes_are_called_by_tls_and_must_have_their_role(tmp_path: Path, folder: str) -> None:
    given = environment(ProcessAuthority(tmp_path).issue("envoy"))
    options = ("--files", str(tmp_path / folder)) if folder == "files" else ()
    document = rendered(tmp_path, *DNS, *options, **given)
    assert str(tmp_path / folder / "internal_certificate.yaml") in document
    assert "0123456789abcdef" not in document
    if options:  # the other document differs in paths alone
        accepted(tmp_path, document)
    found = clusters(document)
    for cluster in found.values():
        assert cluster["cluster_type"]["name"] == "envoy.clusters.dns", "names are resolved again"
        assert cluster["cluster_type"]["typed_config"]["dns_lookup_family"] == "ALL"
    for role, name in (("router", "router"), ("router", "uploads"), ("media", "media")):
        tls = found[name]["transport_socket"]["typed_config"]["common_tls_context"]
        names = tls["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
        assert [entry["matcher"] for entry in names] == [
            {"exact": role},
            {"prefix": f"{role}."},
            {"suffix": f".{role}"},
        ]


def test_certificate_that_processes_refuse_is_named_where_its_files_are_present(tmp_path: Path) -> None:
    files = ProcessAuthority(tmp_path).issue("envoy")
    Authority("Stranger").issue("envoy").write(files.certificate, files.key)
    settings = {"data_dir": str(tmp_path / "data"), "secret_key": "0123456789abcdef", **environment(files)}
    done = command.run("render", "envoy", *DNS, **settings)
    assert done.returncode == 1
    assert f"{files.certificate} is signed by no authority in {files.authority}" in done.stderr
    ProcessAuthority(tmp_path).issue("envoy", "router")
    assert "not the role envoy" in command.run("render", "envoy", *DNS, **settings).stderr
    files.key.unlink()
    assert "internal_certificate.yaml" in rendered(tmp_path, *DNS, **environment(files))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "--routers, --uploads, --media, or --eds"),
        (STATIC[:4], "--media"),
        ((*STATIC[:4], "--media", " ,"), "Envoy needs addresses: --media"),
        ((*STATIC, "--eds", "folder"), "--eds replaces"),
        (("--routers", "10.0.0.1:1", *STATIC[2:]), "--routers: an address must be unix:"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    done = command.run("render", "envoy", *options, data_dir=str(tmp_path), secret_key="0123456789abcdef")
    assert done.returncode == 1
    assert message in done.stderr


def test_new_root_secret_is_named(tmp_path: Path) -> None:
    made = command.run("render", "envoy", *STATIC, data_dir=str(tmp_path))
    assert made.returncode == 0
    assert f"{tmp_path / 'secret-key'} holds a new root secret" in made.stderr
    again = command.run("render", "envoy", *STATIC, data_dir=str(tmp_path))
    assert (again.returncode, again.stderr) == (0, "")
