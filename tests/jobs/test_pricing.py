"""Cost of a job's call: own keys, the price list, and the estimate where the list knows none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs.pricing import Pricing
from imagegateway.provider.v1 import provider_service_pb2 as provider
from imagegateway.v1.job_pb2 import Cost

if TYPE_CHECKING:
    from imagegateway.jobs.pricing import Price

LISTED = Cost(amount=0.04, currency="USD", estimated=True)
ESTIMATE = Cost(amount=0.05, currency="USD", estimated=True)
NOTHING = Cost(amount=0, currency="USD", estimated=False)


def _listed(_task: provider.ImageTask, _done: provider.Done) -> Cost | None:
    return LISTED


def _unknown(_task: provider.ImageTask, _done: provider.Done) -> Cost | None:
    return None


def _broken(_task: provider.ImageTask, _done: provider.Done) -> Cost | None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("record", "price", "cost"),
    [
        (JobRecord(estimate=ESTIMATE), _listed, LISTED),
        (JobRecord(estimate=ESTIMATE), _unknown, ESTIMATE),
        (JobRecord(estimate=ESTIMATE), _broken, ESTIMATE),
        (JobRecord(), _unknown, None),
        (JobRecord(), _broken, None),
        (JobRecord(sealed_credential=b"k"), _listed, NOTHING),
        (JobRecord(task=provider.ImageTask(route="fal"), sealed_keys={"fal": b"k"}), _listed, NOTHING),
        (JobRecord(task=provider.ImageTask(route="bria"), sealed_keys={"fal": b"k"}), _listed, LISTED),
    ],
)
def test_cost_of_a_completed_call(record: JobRecord, price: Price, cost: Cost | None) -> None:
    assert Pricing(price).cost(record, provider.Done()) == cost
