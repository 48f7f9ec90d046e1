"""JetStream's codes of the refusals that the gateway answers by a repeat."""

from __future__ import annotations

from typing import Final

NO_LEADER: Final = 10008
"""The cluster elects a leader."""
WRONG_SEQUENCE: Final = 10071
"""The message does not follow the one that its writer has read."""
WRITE_IN_PROGRESS: Final = 10164
"""The leader still applies an earlier message of the same subjects."""
