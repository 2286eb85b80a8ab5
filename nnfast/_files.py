"""Files that are written as a whole or not at all."""
from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A new file that replaces `path` after the block, or is removed if the block fails."""
    path = os.path.realpath(path)
    beside = os.path.join(os.path.dirname(path), f".nnfast-{os.getpid()}-{threading.get_ident()}.part")
    try:
        with open(beside, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.remove(beside)
        if isinstance(error, OSError):
            message = f"nothing is saved, and a file that was there is as it was: {error.strerror or error}"
            raise OSError(error.errno, message, path) from error
        raise
