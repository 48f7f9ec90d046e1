"""Gauges of a replica: its jobs, its circuit breakers, its connection to NATS and its view of the stream."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from imagegateway.jobs import states
from imagegateway.jobs.circuit_breaker import CircuitState
from imagegateway.platform import metrics

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from imagegateway.jobs.engine import JobEngine


def gauges(engine: JobEngine) -> AbstractContextManager[None]:
    """Return a context that shows the gauges of a replica, and sets them at each scrape."""

    def update() -> None:
        _set_jobs(engine)
        metrics.CIRCUIT_BREAKER_OPEN.clear()
        for circuit in engine.breakers.report():
            is_open = circuit.state is CircuitState.OPEN
            metrics.CIRCUIT_BREAKER_OPEN.labels(circuit.model, circuit.route).set(is_open)
        metrics.NATS_CONNECTED.set(engine.stream.connected)
        metrics.FEED_LAG_SECONDS.set(engine.feed.lag())

    return metrics.at_scrape(
        update, metrics.JOBS, metrics.CIRCUIT_BREAKER_OPEN, metrics.NATS_CONNECTED, metrics.FEED_LAG_SECONDS
    )


def _set_jobs(engine: JobEngine) -> None:
    """Set the numbers of this replica's jobs by state."""
    jobs: Counter[str] = Counter(dict.fromkeys(states.PUBLIC.values(), 0))
    for live_state in states.PUBLIC.keys() - states.TERMINAL:
        jobs[states.PUBLIC[live_state]] += engine.feed.live.count(engine.membership.owner, live_state)
    for sample in (sample for family in metrics.JOBS_FINISHED.collect() for sample in family.samples):
        jobs[sample.labels["state"]] += int(sample.value)
    for state, number in jobs.items():
        metrics.JOBS.labels(state).set(number)
