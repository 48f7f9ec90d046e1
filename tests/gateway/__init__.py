"""Tests through the public port: REST, gRPC and gRPC-Web, against the real Envoy and a whole stack."""

import pytest

pytest.register_assert_rewrite("tests.gateway.cases", "tests.gateway.rest", "tests.support.stack")
