"""Operator tokens: accepted by the gateway of their root secret, for a minute, with the scope admin only."""

from __future__ import annotations

import pytest
from imagegateway.keys.operator_tokens import LIFETIME, OPERATOR_ID, OperatorTokens
from imagegateway.keys.policy import Scope
from imagegateway.keys.root_secret import RootSecret

NOW = 1_800_000_000
ROOT = RootSecret("root secret of the tests")


def tokens(root: RootSecret = ROOT) -> OperatorTokens:
    return OperatorTokens(root, lambda: NOW)


@pytest.mark.parametrize("user", ["ada", "jürgen", "a.b", ""])
def test_token_names_its_user_and_ends_after_a_minute(user: str) -> None:
    key = tokens().read(tokens().sign(user))
    assert key is not None
    assert (key.id, key.name, key.scopes) == (OPERATOR_ID, user, frozenset({Scope.ADMIN}))
    assert not key.is_over(NOW + LIFETIME - 1)
    assert key.is_over(NOW + LIFETIME)


def test_token_of_a_previous_root_secret_is_accepted() -> None:
    renewed = RootSecret("the next root secret", "root secret of the tests")
    assert tokens(renewed).read(tokens().sign("ada"))


def test_changed_or_foreign_token_is_unknown() -> None:
    token = tokens().sign("ada")
    later = token.replace(str(NOW + LIFETIME), str(NOW + 10 * LIFETIME))
    foreign = tokens(RootSecret("another root secret")).sign("ada")
    for text in (later, foreign, token[:-1], token + "0", "igwop_", "igwop_..", "igwop_x.y.z", "", "igw_other"):
        assert tokens().read(text) is None
