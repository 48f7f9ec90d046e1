"""The case files over both REST and native gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from imagegateway.v1.error_reason_pb2 import ErrorReason

from tests.gateway import cases, inputs

if TYPE_CHECKING:
    from tests.gateway.cases import Case
    from tests.support.stack import Stack

REASONS = cases.reasons()


@pytest.mark.parametrize(
    "case", cases.load("generate", "generate_refused", "edit"), ids=lambda case: f"{case.operation}, {case.name}"
)
def test_case_rest_and_grpc_agree_and_are_right(stack: Stack, case: Case) -> None:
    cases.run(stack, case)


@pytest.mark.parametrize("code", REASONS)
def test_provider_failure_of_every_reason_is_the_contracts_row(stack: Stack, code: str) -> None:
    request = {"prompt": "a boat", "provider_options": {"fail": code}}
    case = cases.Case(code, "generate", request, {"status": REASONS[code].http, "code": code})
    cases.run(stack, case)


def test_reasons_of_the_proto_are_those_of_the_contract() -> None:
    names = {name.removeprefix("ERROR_REASON_").lower() for name in ErrorReason.keys()}  # noqa: SIM118  not a dict
    assert names - {"unspecified"} == set(REASONS)


def test_other_seed_makes_another_image(stack: Stack) -> None:
    made = [
        cases.run(
            stack,
            cases.Case(
                "seed", "generate", {"model": "local/sketch", "prompt": "a boat", "size": "64x64", "seed": seed}, {}
            ),
        )
        for seed in (1, 2)
    ]
    assert made[0].images != made[1].images


def test_output_compression_lower_is_a_smaller_file(stack: Stack) -> None:
    def size(compression: int) -> int:
        request = {
            "model": "local/sketch",
            "prompt": "a boat",
            "size": "256x256",
            "seed": 1,
            "output_format": "jpeg",
            "output_compression": compression,
        }
        made = cases.run(stack, cases.Case("compression", "generate", request, {"media_type": "image/jpeg"}))
        return len(made.images[0])

    assert size(10) < size(50) < size(100)


def test_edit_with_mask_keeps_the_covered_area(stack: Stack) -> None:
    original = inputs.pixels(inputs.image_bytes(96, 64)).convert("RGB")
    request = {"model": "local/sketch", "prompt": "at night", "image_url": "$png:96x64", "mask_url": "$mask:96x64"}
    made = cases.run(stack, cases.Case("mask", "edit", request, {}))
    edited = inputs.pixels(made.images[0]).convert("RGB")
    covered, open_ = (48, 0, 96, 64), (0, 0, 48, 64)
    assert edited.crop(covered).tobytes() == original.crop(covered).tobytes()
    assert edited.crop(open_).tobytes() != original.crop(open_).tobytes()


def test_unknown_model_names_near_matches_in_the_details(stack: Stack) -> None:
    case = cases.Case(
        "near",
        "generate",
        {"model": "skech", "prompt": "a boat"},
        {"status": 404, "code": "model_not_found", "param": "model", "message": "local/sketch"},
    )
    cases.run(stack, case)
