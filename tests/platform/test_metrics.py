"""Definitions of metrics: names, labels, documentation, bounds, and the page of text."""

from __future__ import annotations

import re

import pytest
from imagegateway.platform import metrics
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics import MetricWrapperBase

from tests.support.metrics import Scrape

DEFINED = {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}
CONTRACT = {
    "imagegateway_requests": ("operation", "model", "provider", "status", "reason"),
    "imagegateway_request_duration_seconds": ("operation", "model", "provider", "status", "reason"),
    "imagegateway_jobs": ("state",),
    "imagegateway_job_queue_seconds": ("provider",),
    "imagegateway_provider_call_duration_seconds": ("provider", "outcome"),
    "imagegateway_cost_usd": ("model", "tenant"),
    "imagegateway_images": ("model", "provider"),
}
"""Names and labels that the public contract states, counters without `_total`."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """Return the registry of a process that has counted nothing."""
    own = CollectorRegistry()
    monkeypatch.setattr(metrics, "REGISTRY", own)
    monkeypatch.setattr(metrics, "_updates", [])
    return own


def test_contract_names_and_labels_exist() -> None:
    labels = {metric._name: metric._labelnames for metric in DEFINED.values()}
    assert {name: labels[name] for name in CONTRACT} == CONTRACT


@pytest.mark.parametrize("metric", DEFINED.values(), ids=DEFINED)
def test_metric_has_a_prefix_a_meaning_and_known_labels(metric: MetricWrapperBase) -> None:
    assert re.fullmatch(r"imagegateway_[a-z_]+", metric._name)
    assert metric._documentation.endswith(".")
    assert set(metric._labelnames) <= metrics.LABELS.keys()


def test_every_label_is_used() -> None:
    assert {label for metric in DEFINED.values() for label in metric._labelnames} == metrics.LABELS.keys()


def test_tenant_keeps_its_label_after_the_limit_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_tenants", set())
    first = [metrics.tenant_label(f"tenant-{number}") for number in range(metrics.MAX_TENANTS)]
    assert first == [f"tenant-{number}" for number in range(metrics.MAX_TENANTS)]
    assert metrics.tenant_label("late") == metrics.OTHER
    assert metrics.tenant_label("tenant-7") == "tenant-7"


async def test_gauges_of_a_process_are_set_at_each_scrape(registry: CollectorRegistry) -> None:
    values = iter([1, 2])
    gauge = Gauge("imagegateway_test", "A test.", registry=None)
    with metrics.at_scrape(lambda: gauge.set(next(values)), gauge):
        assert registry.get_sample_value("imagegateway_test") == 0
        for expected in (1, 2):
            page = Scrape.parse((await metrics.exposition()).decode())
            assert page.total("imagegateway_test") == expected
    assert registry.get_sample_value("imagegateway_test") is None
