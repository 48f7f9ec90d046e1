"""Administration on a separate listener."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest
from imagegateway.admin.v1 import admin_service_pb2 as pb

from tests.gateway.jobs.calls import Caller
from tests.gateway.rest import assert_error
from tests.gateway.test_administration import KEYS, call, rest

if TYPE_CHECKING:
    from tests.support.stack import Stack


def test_separate_listener_takes_administration_off_the_public_port(configured: Stack) -> None:
    caller = Caller(configured, configured.key)
    assert_error(caller.ask("GET", KEYS), 404, "unknown_url")
    assert_error(caller.ask("POST", KEYS, {"tenant": "t"}), 404, "unknown_url")
    with pytest.raises(grpc.RpcError) as refused:
        call(caller, "ListKeys", pb.ListKeysRequest())
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert caller.generate().status == 200
    separate = replace(configured, port=int(configured.values["admin_listen"].rpartition(":")[2]))
    operators = Caller(separate, configured.key)
    made = rest(operators, "POST", KEYS, {"tenant": "t"})
    assert made["id"] in {key["id"] for key in call(operators, "ListKeys", pb.ListKeysRequest())["data"]}
    assert_error(Caller(separate, made["key"]).ask("GET", KEYS), 403, "insufficient_scope", None, "permission_error")
    keyless = Caller(separate, "")
    assert_error(keyless.ask("GET", KEYS), 401, "invalid_api_key", None, "authentication_error")
    assert rest(operators, "GET", "/v1/usage")["total"]["requests"]
    assert operators.ask("GET", "/v1/usage", headers={"accept": "text/csv"}).status == 200
    assert_error(operators.generate(), 404, "unknown_url")
    assert_error(operators.ask("PUT", KEYS), 405, "method_not_allowed")
