"""Webhooks as a receiver sees them: signed, repeated until accepted, recorded on the job."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
import uuid
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import openai
import pytest
from aigateway import verify_webhook  # type: ignore[import-untyped]  # ships no types
from standardwebhooks import Webhook, WebhookVerificationError

from tests.gateway.jobs import sse, wire
from tests.gateway.jobs.calls import marked, with_mark
from tests.gateway.jobs.receiver import UNUSED_ADDRESS
from tests.gateway.rest import assert_error
from tests.support.stack import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gateway.jobs.calls import Caller
    from tests.gateway.jobs.receiver import Delivery, Receiver

HANGING = f"/{uuid.uuid4().hex}-hanging"
"""Return a path of this module: the receiver serves the stacks of all modules."""


@pytest.fixture(scope="module", autouse=True)
def hanging(caller: Caller, receiver: Receiver) -> Iterator[str]:
    """Start a job whose receiver accepts connections and never responds. Its attempts run during other tests."""
    gate = threading.Event()
    yield caller.submit(webhook_url=receiver.hook(HANGING, gate=gate))
    gate.set()


def secret(caller: Caller) -> dict[str, Any]:
    answer = caller.ask("GET", "/v1/webhook-secret")
    assert answer.status == 200, answer.body
    document: dict[str, Any] = answer.json()
    return document


def verify(delivery: Delivery, key: str) -> None:
    """Verify signatures by each documented library."""
    Webhook(key).verify(delivery.body, delivery.headers)
    client = openai.OpenAI(api_key="unused", webhook_secret=key)
    event = client.webhooks.unwrap(delivery.body, delivery.headers)
    assert event.id == delivery.id
    assert verify_webhook(key, delivery.body, delivery.headers["x-gateway-signature"])
    stamp, signature = delivery.headers["x-gateway-signature"].split(",")
    message = f"{stamp.removeprefix('t=')}.".encode() + delivery.body
    assert signature == "v1=" + hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
    assert stamp == f"t={delivery.headers['webhook-timestamp']}"
    assert abs(int(delivery.headers["webhook-timestamp"]) - delivery.at) < 60


def attempts(caller: Caller, job_id: str, count: int) -> list[dict[str, Any]]:
    """Wait until the record has exactly this number of attempts. Return them."""
    eventually(lambda: len(caller.job(job_id).get("webhook_attempts", [])) >= count, 60, f"{count} attempts")
    found: list[dict[str, Any]] = caller.job(job_id)["webhook_attempts"]
    assert len(found) == count
    return found


@pytest.mark.parametrize(
    ("options", "end"), [({}, "completed"), ({"fail": "provider_error", "delay": 0.2}, "failed"), (None, "cancelled")]
)
def test_end_is_announced_signed_and_recorded(
    caller: Caller, receiver: Receiver, mark: str, options: dict[str, Any] | None, end: str
) -> None:
    url = receiver.hook(f"/{mark}")
    job_id = caller.submit(provider_options=options or {"delay": 0 if options is not None else 60}, webhook_url=url)
    if end == "cancelled":
        caller.cancel(job_id)
    (delivery,) = receiver.wait(f"/{mark}")
    event = delivery.event
    assert (event["object"], event["type"], event["id"]) == ("event", f"job.{end}", delivery.id)
    assert event["id"].startswith("evt_")
    assert isinstance(event["created_at"], int)
    job = caller.job(job_id)
    same = {"id", "status", "created_at", "completed_at", "error", "metadata"} & set(job)
    assert {name: event["data"][name] for name in same} == {name: job[name] for name in same}
    if end == "completed":
        assert caller.fetch(event["data"]["result_url"])
    assert delivery.headers["content-type"] == "application/json"
    verify(delivery, secret(caller)["secret"])
    (attempt,) = attempts(caller, job_id, 1)
    assert attempt["status_code"] == 200
    assert "error" not in attempt
    assert abs(attempt["at"] - delivery.at) < 60


def test_inline_call_with_a_webhook_url_is_delivered(caller: Caller, receiver: Receiver, mark: str) -> None:
    answer = caller.generate(webhook_url=receiver.hook(f"/{mark}"))
    assert answer.status == 200
    (delivery,) = receiver.wait(f"/{mark}")
    assert delivery.event["data"]["id"] == answer.json()["id"]


def test_changed_delivery_is_not_verified(caller: Caller, receiver: Receiver, mark: str) -> None:
    caller.submit(webhook_url=receiver.hook(f"/{mark}"))
    (delivery,) = receiver.wait(f"/{mark}")
    key = secret(caller)["secret"]
    with pytest.raises(WebhookVerificationError):
        Webhook(key).verify(delivery.body + b" ", delivery.headers)
    assert not verify_webhook(key, delivery.body + b" ", delivery.headers["x-gateway-signature"])
    assert not verify_webhook(key + "x", delivery.body, delivery.headers["x-gateway-signature"])


def test_refused_delivery_is_repeated_under_one_id_until_it_is_accepted(
    caller: Caller, receiver: Receiver, mark: str
) -> None:
    job_id = caller.submit(webhook_url=receiver.hook(f"/{mark}", 500, 503, 302, 200))
    deliveries = receiver.wait(f"/{mark}", 4)
    assert len({delivery.id for delivery in deliveries}) == 1
    stamps = [delivery.at for delivery in deliveries]
    pauses = [later - earlier for earlier, later in pairwise(stamps)]
    assert pauses[0] > 0.15
    assert pauses[2] > 0.4
    key = secret(caller)["secret"]
    for delivery in deliveries:
        verify(delivery, key)
    found = attempts(caller, job_id, 4)
    assert [attempt["status_code"] for attempt in found] == [500, 503, 302, 200]
    assert [bool(attempt.get("error")) for attempt in found] == [True, True, True, False]
    time.sleep(1.5)
    assert len(receiver.on(f"/{mark}")) == 4


def test_delivery_ends_after_eight_attempts(caller: Caller, receiver: Receiver, mark: str) -> None:
    job_id = caller.submit(webhook_url=receiver.hook(f"/{mark}", 500))
    receiver.wait(f"/{mark}", 8)
    assert len(attempts(caller, job_id, 8)) == 8
    time.sleep(2)
    assert len(receiver.on(f"/{mark}")) == 8
    assert caller.job(job_id)["status"] == "completed"


def test_410_of_a_receiver_ends_the_attempts(caller: Caller, receiver: Receiver, mark: str) -> None:
    job_id = caller.submit(webhook_url=receiver.hook(f"/{mark}", 410))
    receiver.wait(f"/{mark}")
    assert attempts(caller, job_id, 1)[0]["status_code"] == 410
    time.sleep(1.5)
    assert len(receiver.on(f"/{mark}")) == 1


def test_unreachable_receiver_is_recorded_as_an_error_without_status(caller: Caller) -> None:
    job_id = caller.submit(webhook_url=f"http://{UNUSED_ADDRESS}/hook")
    eventually(lambda: len(caller.job(job_id).get("webhook_attempts", [])) >= 2, 60, "two attempts")
    for attempt in caller.job(job_id)["webhook_attempts"]:
        assert attempt["error"]
        assert "status_code" not in attempt
        assert "127.0.0.1" not in attempt["error"]


def test_redelivery_sends_the_same_event_again(caller: Caller, receiver: Receiver, mark: str) -> None:
    job_id = caller.submit(webhook_url=receiver.hook(f"/{mark}"))
    receiver.wait(f"/{mark}")
    attempts(caller, job_id, 1)
    for count, body in ((2, None), (3, {})):
        answer = caller.ask("POST", f"/v1/jobs/{job_id}/redeliver", body)
        assert answer.status == 200, answer.body
        assert answer.json()["status"] == "completed"
        deliveries = receiver.wait(f"/{mark}", count)
        assert len({delivery.id for delivery in deliveries}) == 1
        assert deliveries[-1].event["data"]["id"] == job_id
        attempts(caller, job_id, count)
    time.sleep(1)
    assert len(receiver.on(f"/{mark}")) == 3


def test_redelivery_after_giving_up_is_one_more_attempt(caller: Caller, receiver: Receiver, mark: str) -> None:
    job_id = caller.submit(webhook_url=receiver.hook(f"/{mark}", 410, 200))
    receiver.wait(f"/{mark}")
    attempts(caller, job_id, 1)
    assert caller.ask("POST", f"/v1/jobs/{job_id}/redeliver").status == 200
    receiver.wait(f"/{mark}", 2)
    assert [attempt["status_code"] for attempt in attempts(caller, job_id, 2)] == [410, 200]


def test_redelivery_during_an_attempt_is_not_lost(caller: Caller, receiver: Receiver, mark: str) -> None:
    gate = threading.Event()
    job_id = caller.submit(webhook_url=receiver.hook(f"/{mark}", 500, 200, gate=gate))
    receiver.wait(f"/{mark}")
    assert caller.ask("POST", f"/v1/jobs/{job_id}/redeliver").status == 200
    time.sleep(0.5)
    gate.set()
    receiver.wait(f"/{mark}", 2, seconds=30)

    def delivered() -> bool:
        # The other router may take the redelivery, and its attempt end before the first one.
        return 200 in [attempt.get("status_code") for attempt in caller.job(job_id).get("webhook_attempts", [])]

    eventually(delivered, 30, "the delivery is on the record")


def test_redelivery_of_a_job_without_webhook_or_end_is_refused(caller: Caller, receiver: Receiver, mark: str) -> None:
    without = caller.generate().json()["id"]
    running = caller.submit(60, webhook_url=receiver.hook(f"/{mark}"))
    for job_id in (without, running):
        answer = caller.ask("POST", f"/v1/jobs/{job_id}/redeliver")
        assert_error(answer, 400, "unsupported_parameter", "job_id")
    caller.cancel(running)


def test_deliveries_after_a_rotation_are_signed_with_both_secrets(
    fresh: Caller, receiver: Receiver, mark: str
) -> None:
    before = secret(fresh)
    assert before["secret"].startswith("whsec_")
    assert "previous_expires_at" not in before
    assert secret(fresh) == before
    rotated = fresh.ask("POST", "/v1/webhook-secret/rotate")
    assert rotated.status == 200, rotated.body
    after = rotated.json()
    assert after["secret"].startswith("whsec_")
    assert after["secret"] != before["secret"]
    assert abs(after["previous_expires_at"] - time.time() - 86_400) < 120
    assert secret(fresh) == after
    fresh.submit(webhook_url=receiver.hook(f"/{mark}"))
    (delivery,) = receiver.wait(f"/{mark}")
    verify(delivery, after["secret"])
    Webhook(before["secret"]).verify(delivery.body, delivery.headers)
    openai.OpenAI(api_key="unused", webhook_secret=before["secret"]).webhooks.unwrap(delivery.body, delivery.headers)
    again = fresh.ask("POST", "/v1/webhook-secret/rotate", {}).json()
    assert again["secret"] not in {before["secret"], after["secret"]}
    fresh.submit(webhook_url=receiver.hook(f"/{mark}-2"))
    (delivery,) = receiver.wait(f"/{mark}-2")
    verify(delivery, again["secret"])
    with pytest.raises(WebhookVerificationError):  # two rotations ago: over
        Webhook(before["secret"]).verify(delivery.body, delivery.headers)


def test_webhook_secret_is_the_same_on_every_replica_and_differs_between_tenants(
    caller: Caller, stranger: Caller, receiver: Receiver, mark: str
) -> None:
    assert secret(caller)["secret"] != secret(stranger)["secret"]
    for index in (0, 1):
        with wire.router(stranger, index) as stub:
            wire.submit(stub, stranger, webhook_url=receiver.hook(f"/{mark}-{index}"))
        (delivery,) = receiver.wait(f"/{mark}-{index}")
        verify(delivery, secret(stranger)["secret"])


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1/hook",
        "https://169.254.169.254/latest",
        "https://[::1]/hook",
        "https://localhost/hook",
        "http://example.com/hook",
        "ftp://example.com/hook",
        "https://user:pass@example.com/hook",
        "nonsense",
    ],
)
def test_webhook_url_that_the_guard_refuses_makes_no_job(caller: Caller, mark: str, url: str) -> None:
    answer = caller.generate(webhook_url=url, metadata=marked(mark))
    assert_error(answer, 400, "invalid_value", "webhook_url")
    assert with_mark(caller.page(page_size=10)["data"], mark) == []


def test_slow_receiver_delays_no_other_receiver(caller: Caller, receiver: Receiver, mark: str) -> None:
    gate = threading.Event()
    for _ in range(5):
        caller.submit(webhook_url=receiver.hook(f"/{mark}-slow", gate=gate))
    receiver.wait(f"/{mark}-slow", 5)
    caller.submit(webhook_url=receiver.hook(f"/{mark}"))
    receiver.wait(f"/{mark}", seconds=9)  # an attempt at the slow one takes 10 s
    gate.set()


def test_subscriber_gets_no_event_of_the_delivery_after_the_end(
    caller: Caller, receiver: Receiver, mark: str
) -> None:
    """A browser's EventSource reconnects after the end, and must not receive a second end."""
    gate = threading.Event()
    job_id = caller.submit(0.3, webhook_url=receiver.hook(f"/{mark}", gate=gate))
    events = sse.read_all(caller, job_id)
    gate.set()
    attempts(caller, job_id, 1)
    assert [event.name for event in sse.read_all(caller, job_id, events[-1].id)] == []


def test_delivery_to_a_hanging_receiver_times_out_after_ten_seconds(
    caller: Caller, receiver: Receiver, hanging: str
) -> None:
    first, second = receiver.wait(HANGING, 2)[:2]
    assert 5 < second.at - first.at < 60  # this process may note the first attempt late
    attempt = caller.job(hanging)["webhook_attempts"][0]
    assert attempt["error"]
    assert "status_code" not in attempt
