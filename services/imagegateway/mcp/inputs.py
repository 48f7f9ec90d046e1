"""Input images of edits: URLs as they are; earlier results and files as data URLs."""

from __future__ import annotations

import asyncio
import base64
import re
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from imagegateway.mcp.api import ApiError, file_name
from imagegateway.platform import ids

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager

    from imagegateway.mcp.api import GatewayApi
    from imagegateway.mcp.content import Transfer

MAX_INPUT_BYTES: Final = 26_214_400
"""Bytes of all earlier results and files of one call: 25 MiB, the limit of one input image."""
_RESULT: Final = re.compile(rf"^({ids.JOB_PATTERN})(?:/(\d{{1,2}}))?$")
_URL: Final = re.compile(r"^(https?|data):", re.IGNORECASE)
_SIGNATURES: Final = ((b"\x89PNG\r\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))
"""First bytes of the accepted types. The gateway checks the whole content."""


class InputReader:
    """Reader of one call's input images.

    `transfer`: the context in which a call may hold whole images. `files`: paths of this machine are accepted.
    """

    def __init__(self, api: GatewayApi, transfer: Transfer, *, files: bool) -> None:
        self._api = api
        self._transfer = transfer
        self._files = files
        self._left = MAX_INPUT_BYTES

    def holding(self, given: Iterable[str]) -> AbstractAsyncContextManager[None]:
        """Return the context in which a call reads these arguments by `url`, and sends the images."""
        return nullcontext() if all(map(_URL.match, given)) else self._transfer()

    async def url(self, given: str, name: str) -> str:
        """Return an argument's image as a URL for the API. Raises ApiError naming the argument."""
        if _URL.match(given):
            return given
        if found := _RESULT.match(given):
            return self._data_url(await self._result(found[1], int(found[2] or 0), name), name)
        if not self._files:
            raise ApiError(f"{name} must be an https URL, a data URL or the id of an earlier job.")
        return self._data_url(await asyncio.to_thread(self._file, given, name), name)

    async def _result(self, job_id: str, index: int, name: str) -> bytes:
        job = await self._api.job(job_id)
        files = job.get("result", {}).get("data", [])
        if index >= len(files):
            raise ApiError(f"{name}: the job {job_id} is {job['status']} and has {len(files)} files.")
        data = await self._api.file(job_id, file_name(files[index]["url"]), self._left)
        if data is None:
            raise self._too_large(name)
        return data

    def _file(self, given: str, name: str) -> bytes:
        path = Path(given.removeprefix("file://")).expanduser()
        try:
            with path.open("rb") as file:
                data = file.read(self._left + 1)
        except OSError as error:
            raise ApiError(f"{name}: {path} can't be read ({error.strerror}).") from None
        if len(data) > self._left:
            raise self._too_large(name)
        return data

    def _data_url(self, data: bytes, name: str) -> str:
        self._left -= len(data)
        for signature, media_type in _SIGNATURES:
            if data.startswith(signature):
                return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
        raise ApiError(f"{name} is not a PNG, JPEG or WebP image.")

    @staticmethod
    def _too_large(name: str) -> ApiError:
        return ApiError(f"{name}: the input images are larger than {MAX_INPUT_BYTES} bytes together.")
