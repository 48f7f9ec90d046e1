"""The Helm chart: lint, schemas of Kubernetes, and agreement with the gateway's own names."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import helm_python
import kubernetes_validate
import pytest
from imagegateway.providers.catalog import api_key_setting
from imagegateway.providers.registry import ROUTES
from imagegateway.providers.setting_names import secret_names
from imagegateway.stack.config import binary

from tests.deploy import chart, names
from tests.support import programs

if TYPE_CHECKING:
    from pathlib import Path

_KUBERNETES: Final = ("1.30", "1.37")
"""The oldest and the newest version whose schemas the objects are checked with."""
_CUSTOM: Final = ("cert-manager.io", "monitoring.coreos.com", "gateway.networking.k8s.io")
"""API groups of custom resources."""
_LARGEST_GRACE_OF_DRAIN: Final = 45
_GRACE_OF_PROVIDERS: Final = 310
every_value_set = pytest.mark.parametrize("values", chart.VALUE_SETS)


def test_chart_has_no_findings_of_helm_lint() -> None:
    messages = helm_python.lint(str(chart.CHART), chart.REQUIRED)["messages"]
    assert [each for each in messages if each["error"] != "icon is recommended"] == []


@pytest.mark.parametrize("version", _KUBERNETES)
def test_objects_match_the_schemas_of_kubernetes(version: str) -> None:
    rendered = {json.dumps(each): each for values in chart.VALUE_SETS for each in chart.objects(values)}
    for each in rendered.values():
        if not each["apiVersion"].startswith(_CUSTOM):
            kubernetes_validate.validate(each, version, strict=True)


def test_custom_resources_match_their_schemas(node: Path) -> None:
    custom = [
        each
        for values in chart.VALUE_SETS
        for each in chart.objects(values)
        if each["apiVersion"].startswith(_CUSTOM)
    ]
    kinds = {each["kind"] for each in custom}
    assert kinds == {"Issuer", "Certificate", "ServiceMonitor", "PrometheusRule", "HTTPRoute"}
    assert programs.run(["node", "validate.mjs"], node, text=json.dumps(custom)) == ""


@every_value_set
def test_every_name_of_an_object_is_unique(values: str) -> None:
    keys = [(each["kind"], each["metadata"]["name"]) for each in chart.objects(values)]
    assert len(keys) == len(set(keys))


@every_value_set
def test_environment_names_settings_only(values: str) -> None:
    for container in chart.containers(values):
        variables = [each["name"] for each in container.get("env", ())]
        assert names.unknown_settings(variables) == [], container["name"]
        assert len(variables) == len(set(variables)), container["name"]


@every_value_set
def test_commands_exist(values: str) -> None:
    for container in chart.containers(values):
        names.check_command(container["command"])
        if stop := container.get("lifecycle"):
            names.check_command(stop["preStop"]["exec"]["command"])


@every_value_set
def test_no_secret_is_a_value(values: str) -> None:
    for container in chart.containers(values):
        for each in container.get("env", ()):
            assert "KEY" not in each["name"] or each.get("value", "/").startswith("/"), each
            assert "PASSWORD" not in each["name"] or "valueFrom" in each, each


@every_value_set
def test_ports_of_parts_services_probes_and_policies_agree(values: str) -> None:
    policies = {chart.component(each): each["spec"] for each in chart.of_kind(values, "NetworkPolicy")}
    services = {
        chart.component(each): each["spec"]
        for each in chart.of_kind(values, "Service")
        if each["spec"].get("clusterIP") == "None"
    }
    for part in names.PARTS:
        (container,) = chart.pods(values)[part]["containers"]
        declared = {each["name"]: each["containerPort"] for each in container["ports"]}
        assert set(declared.values()) == names.listening_ports(_plain_environment(container))
        assert {each["targetPort"]: each["port"] for each in services[part]["ports"]} == declared
        for probe, path in (
            ("startupProbe", "/startupz"),
            ("livenessProbe", "/healthz"),
            ("readinessProbe", "/readyz"),
        ):
            assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}
        if policies:
            permitted = {port["port"] for rule in policies[part]["ingress"] for port in rule["ports"]}
            assert permitted == set(declared.values())


@every_value_set
def test_addresses_that_parts_call_are_ports_of_services(values: str) -> None:
    addresses = {
        f"{service['metadata']['name']}:{port['port']}"
        for service in chart.of_kind(values, "Service")
        for port in service["spec"]["ports"]
    }
    called = [
        word.rpartition("://")[2].rpartition("@")[2]
        for container in chart.containers(values)
        for text in (*container["command"], *_plain_environment(container).values())
        for word in text.split()
        if word.startswith(("dns://", "tcp://demo-", "nats://"))
    ]
    assert len(called) >= len(names.PARTS) + 1
    assert set(called) <= addresses


@every_value_set
def test_containers_meet_the_restricted_pod_security_standard(values: str) -> None:
    for pod in chart.pods(values).values():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all(volume.keys() & {"emptyDir", "secret", "configMap"} for volume in pod["volumes"])
    for container in chart.containers(values):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


@every_value_set
def test_pods_outlive_lame_duck_and_drain(values: str) -> None:
    for part in names.PARTS:
        pod = chart.pods(values)[part]
        seconds = int(_plain_environment(pod["containers"][0])["IMAGEGATEWAY_LAME_DUCK"])
        drain = _GRACE_OF_PROVIDERS if part == "providers" else _LARGEST_GRACE_OF_DRAIN
        assert pod["terminationGracePeriodSeconds"] == seconds + drain
    envoy = chart.pods(values)["envoy"]
    *_, lame_duck, _, grace = map(str, envoy["containers"][0]["lifecycle"]["preStop"]["exec"]["command"])
    assert envoy["terminationGracePeriodSeconds"] > int(lame_duck) + int(grace)


@every_value_set
def test_volumes_and_mounts_agree(values: str) -> None:
    claims = {
        each["metadata"]["name"]
        for stateful in chart.of_kind(values, "StatefulSet")
        for each in stateful["spec"]["volumeClaimTemplates"]
    }
    for name, pod in chart.pods(values).items():
        volumes = {each["name"] for each in pod["volumes"]} | (claims if name == "nats" else set())
        mounted = {
            each["name"]
            for container in (*pod.get("initContainers", ()), *pod["containers"])
            for each in container["volumeMounts"]
        }
        assert mounted == volumes


@every_value_set
def test_each_secret_file_is_mounted(values: str) -> None:
    for pod in chart.pods(values).values():
        items = [each["secret"]["items"] for each in pod["volumes"] if each["name"] == "secrets" and "secret" in each]
        mounted = {f"/run/secrets/imagegateway/{item['path']}" for each in items for item in each}
        read = {
            value
            for container in (*pod.get("initContainers", ()), *pod["containers"])
            for name, value in _plain_environment(container).items()
            if name.endswith("_FILE")
        }
        assert read == mounted


@pytest.mark.parametrize(("values", "expected"), [("defaults", set()), ("own_nats", {"openai-api-key"})])
def test_provider_servers_have_the_keys_of_providers_alone(values: str, expected: set[str]) -> None:
    """They open files from outside: neither the root secret nor a caller's key is theirs."""
    pod = chart.pods(values)["providers"]
    assert not pod.get("initContainers")
    mounted = [each["secret"] for each in pod["volumes"] if each["name"] == "secrets" and "secret" in each]
    assert {item["key"] for each in mounted for item in each["items"]} == expected


def test_each_secret_that_is_no_providers_is_withheld_from_provider_servers() -> None:
    """Without an entry in the chart, a new secret setting would reach them."""
    template = (chart.CHART / "templates/providers.yaml").read_text()
    (withheld,) = re.findall(r'"withheld" \(list ([^)]*)\)', template)
    used = {"EGRESS_PROXY", *(api_key_setting(route) for route in ROUTES)}
    of_clients = {"KEY", "BYOK"}
    assert set(re.findall(r"\w+", withheld)) == {name.lower() for name in secret_names() - used - of_clients}


@every_value_set
def test_envoy_reads_the_file_of_the_api_key_and_no_other_secret(values: str) -> None:
    """Envoy itself reads a rotated key, from the path that the init container wrote into its configuration."""
    pod = chart.pods(values)["envoy"]
    path = _plain_environment(pod["initContainers"][0])["IMAGEGATEWAY_API_KEY_FILE"]
    items = {each["name"]: each["secret"].get("items", ()) for each in pod["volumes"] if "secret" in each}
    mounted = {
        f"{mount['mountPath']}/{item['path']}"
        for mount in pod["containers"][0]["volumeMounts"]
        for item in items.get(mount["name"], ())
    }
    assert mounted == {path}


def test_provider_keys_reach_routers_and_providers_only() -> None:
    holding = {
        name
        for name, pod in chart.pods("own_nats").items()
        for container in pod["containers"]
        if "IMAGEGATEWAY_OPENAI_API_KEY_FILE" in _plain_environment(container)
    }
    assert holding == {"router", "providers"}


@every_value_set
def test_certificates_name_the_role_first(values: str) -> None:
    certificates = [each["spec"] for each in chart.of_kind(values, "Certificate") if not each["spec"].get("isCA")]
    wanted = [] if values == "own_certificates" else ["envoy", "media", "providers", "router"]
    assert sorted(each["dnsNames"][0] for each in certificates) == wanted


@every_value_set
def test_scaled_parts_have_no_fixed_size(values: str) -> None:
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in chart.of_kind(values, "HorizontalPodAutoscaler")}
    for each in chart.of_kind(values, "Deployment"):
        assert ("replicas" in each["spec"]) is (each["metadata"]["name"] not in scaled)
    assert bool(scaled) is (values != "fixed_size")


def test_waiting_jobs_scale_routers_where_asked() -> None:
    (router,) = (
        each for each in chart.of_kind("everything", "HorizontalPodAutoscaler") if chart.component(each) == "router"
    )
    assert router["spec"]["metrics"][1]["pods"] == {
        "metric": {"name": "imagegateway_jobs", "selector": {"matchLabels": {"state": "queued"}}},
        "target": {"type": "AverageValue", "averageValue": "20"},
    }


def test_monitoring_carries_the_files_of_deploy() -> None:
    (rules,) = chart.of_kind("everything", "PrometheusRule")
    (dashboard,) = (
        each for each in chart.of_kind("everything", "ConfigMap") if chart.component(each) == "monitoring"
    )
    (text,) = dashboard["data"].values()
    assert text == (chart.DEPLOY / "monitoring/dashboard.json").read_text()
    assert rules["spec"]["groups"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**chart.REQUIRED, "routers": 2}, "routers"),
        ({**chart.REQUIRED, "publicUrl": "images.example.com"}, "publicUrl"),
        ({**chart.REQUIRED, "store": {"url": "file:///media"}}, "store"),
        ({**chart.REQUIRED, "nats": {"replicas": 2}}, "nats"),
        ({**chart.REQUIRED, "nats": {"enabled": False}}, "nats_url"),
        ({**chart.REQUIRED, "internalTls": {"certManager": False}}, "internalTls.existingSecrets"),
        ({}, "image.repository"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(helm_python.HelmError, match=message):
        list(chart.render(values))


def _plain_environment(container: dict[str, Any]) -> dict[str, str]:
    """Return the variables with a value in the chart."""
    return {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}


@pytest.mark.parametrize("values", ["defaults", "fixed_size"])
def test_configuration_of_nats_is_valid_for_its_server(values: str, tmp_path: Path) -> None:
    (servers,) = (each for each in chart.of_kind(values, "ConfigMap") if chart.component(each) == "nats")
    path = tmp_path / "nats.conf"
    text = servers["data"]["nats.conf"]
    assert "$" not in text  # NATS would read a password such as 12e4 as a number
    path.write_text(text.replace("{password}", "12e4").replace("{name}", "nats-0"))
    programs.run([binary("nats-server"), "-t", "-c", path], tmp_path)
