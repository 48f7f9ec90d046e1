"""Output of commands: a reader that has seen enough, such as `head`, causes no traceback."""

from __future__ import annotations

import os
import subprocess

from tests.support import command


def test_output_without_a_reader_ends_the_command_silently() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as unread:
        done = subprocess.run(
            [command.PROGRAM, "validate"],
            stdout=unread,
            stderr=subprocess.PIPE,
            env=command.environment(),
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")
