"""Owner of results in tests."""

from __future__ import annotations

from typing import Final

from imagegateway.media.objects import ResultOwner

OWNER: Final = ResultOwner("job_of_the_tests")
