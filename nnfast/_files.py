"""Files that are replaced as a whole."""
import contextlib
import os
import threading


@contextlib.contextmanager
def replaced(path):
    """A file beside `path`, which takes its place when it is whole; else it is removed."""
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
            raise OSError(error.errno, f"nothing is saved, and a file that was there is as it was: {error.strerror or error}", path) from error
        raise
