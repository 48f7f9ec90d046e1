"""The Helm chart, rendered by Helm's own library with several sets of values."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import helm_python
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
CHART: Final = DEPLOY / "helm/imagegateway"
REQUIRED: Final[dict[str, Any]] = {
    "image": {"repository": "registry.example.com/imagegateway"},
    "publicUrl": "https://images.example.com",
    "store": {"url": "s3://images/gateway"},
}
"""Values without a default."""
_CERTIFICATES: Final = {role: f"{role}-certificate" for role in ("router", "providers", "media", "envoy")}
_NO_SCALING: Final = {"autoscaling": {"enabled": False}}
VALUE_SETS: Final[dict[str, dict[str, Any]]] = {
    "defaults": {},
    "own_nats": {
        "nats": {"enabled": False},
        "secrets": {"files": {"nats_url": "nats-url", "openai_api_key": "openai-api-key"}},
    },
    "own_certificates": {"internalTls": {"certManager": False, "existingSecrets": _CERTIFICATES}},
    "public_tls": {"publicTls": {"existingSecret": "public"}, "service": {"type": "LoadBalancer", "port": 443}},
    "fixed_size": dict.fromkeys(("router", "providers", "media", "envoy"), _NO_SCALING) | {"nats": {"replicas": 1}},
    "everything": {
        "image": {"digest": f"sha256:{'0' * 64}"},
        "imagePullSecrets": [{"name": "registry"}],
        "settings": {"media_days": 14, "log_level": "debug"},
        "store": {"credentialsSecret": "bucket", "environment": {"AWS_REGION": "eu-central-1"}},
        "router": {"autoscaling": {"queuedJobs": 20}, "nodeSelector": {"pool": "gateway"}},
        "providers": {"families": ["openai", "bfl"], "podAnnotations": {"example.com/team": "images"}},
        "networkPolicy": {"clients": [{"podSelector": {}}], "monitoring": [{"podSelector": {}}]},
        "ingress": {"enabled": True, "className": "nginx", "host": "images.example.com", "tlsSecret": "public"},
        "gateway": {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["images.example.com"]},
        "monitoring": {"serviceMonitor": True, "rules": True, "dashboard": True, "labels": {"release": "prometheus"}},
    },
    "open_network": {"networkPolicy": {"enabled": False}, "disruptionBudget": {"enabled": False}},
}
"""Values by name, beside `REQUIRED`."""


@cache
def objects(values: str) -> tuple[dict[str, Any], ...]:
    """Return the chart's objects, rendered with a set of `VALUE_SETS`."""
    return tuple(render(_merged(REQUIRED, VALUE_SETS[values])))


def render(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a release. Raises helm_python.HelmError for values that the schema refuses."""
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(values)
        files: dict[str, str] = chart.render(values, name="demo", namespace="images")
    for name, text in files.items():
        if name.endswith(".yaml"):
            yield from filter(None, yaml.safe_load_all(text))


def of_kind(values: str, *kinds: str) -> list[dict[str, Any]]:
    """Return the objects of these kinds."""
    return [each for each in objects(values) if each["kind"] in kinds]


def component(labelled: dict[str, Any]) -> str:
    """Return the component that an object or a selector names in its labels."""
    labels = labelled.get("metadata", labelled).get("labels") or labelled["matchLabels"]
    return str(labels["app.kubernetes.io/component"])


def pods(values: str) -> dict[str, dict[str, Any]]:
    """Return the pods' specifications by component."""
    return {
        component(each): each["spec"]["template"]["spec"] for each in of_kind(values, "Deployment", "StatefulSet")
    }


def containers(values: str) -> list[dict[str, Any]]:
    """Return all containers, those that run first included."""
    return [each for pod in pods(values).values() for each in (*pod.get("initContainers", ()), *pod["containers"])]


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return nested values, of which those `above` win."""
    both = {name: _merged(below[name], above[name]) for name in below.keys() & above if isinstance(above[name], dict)}
    return {**below, **above, **both}
