"""Submission of a request as a job, which no lost connection repeats."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from imagegateway.cli.client import UnreachableError
from imagegateway.cli.images.job import Job, has_ended

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from imagegateway.cli.client import Client

_PAUSES: Final = (0.5, 2.0, 5.0)
"""Seconds before each further attempt after a lost connection."""
InputFile: TypeAlias = tuple[str, tuple[str, bytes]]
"""Field of a form, with name and content of its file."""


@dataclass(frozen=True, slots=True)
class Request:
    """Request that makes a job."""

    path: str
    fields: Mapping[str, Any]
    """Fields by their API names."""
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[InputFile] = ()
    """Input images. A request with files is a form."""
    is_strict: bool = False
    """Warnings are errors."""

    def plan(self, client: Client) -> dict[str, Any]:
        """Return the plan of the request: model, size, warnings and expected cost. Nothing is made or paid."""
        return client.call("POST", self.path, **self._body(), headers=self._headers("dry-run"))

    def submit(self, client: Client, key: str | None = None, *, sleep: Callable[[float], None] = time.sleep) -> Job:
        """Return the job. The idempotency key, a new one by default, makes attempts after a lost connection safe.

        Raises ApiError, and UnreachableError if no attempt brings an answer.
        """
        headers = {**self._headers("respond-async"), "idempotency-key": key or str(uuid.uuid4())}
        for pause in (*_PAUSES, None):
            try:
                job = client.call("POST", self.path, **self._body(), headers=headers)
            except UnreachableError as error:
                if not error.is_sent or pause is None:
                    raise
                sleep(pause)
            else:
                break
        if "status" not in job or has_ended(job):  # the answer to a key that was used before
            return client.call("GET", f"/v1/jobs/{job['id']}")
        return job

    def _headers(self, preference: str) -> dict[str, str]:
        return {**self.headers, "prefer": preference + (", handling=strict" if self.is_strict else "")}

    def _body(self) -> dict[str, Any]:
        if not self.files:
            return {"json": self.fields}
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in self.fields.items()}
        return {"data": texts, "files": list(self.files)}
