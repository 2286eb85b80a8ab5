"""Locks a model: one call at a time, and the callbacks of a fit within it.

    fit, evaluate, ...     `with claims.take("fit")`: a call from another thread raises an error at
                           once; it does not wait
    their callbacks        `with claims.opened()`: the thread of the callbacks may use the model
                           while its fit holds the lock
    predict                takes the lock only to build the model; otherwise it only reads
"""
import contextlib
import threading

NEVER_IN_A_CALLBACK = ("fit", "compile", "build")       # they would change the network under the running fit


class Claims:
    """The lock of one model."""

    def __init__(self):
        self._lock = threading.Lock()
        self._open_to = None            # the thread whose callback runs

    def take(self, what):
        """Context manager that holds the lock while the method named `what` runs.

        Entering raises RuntimeError if another call holds the lock.
        """
        return _Claim(self, what)

    @contextlib.contextmanager
    def opened(self):
        """Context manager: while callbacks run, their thread may use the model."""
        before, self._open_to = self._open_to, threading.get_ident()
        try:
            yield
        finally:
            self._open_to = before


class _Claim:
    """The context manager of `take`.

    It is a class because every `train_on_batch` enters one: a generator costs three times as much.
    """

    def __init__(self, claims, what):
        self.claims, self.what = claims, what

    def __enter__(self):
        claims = self.claims
        self.shared = claims._open_to == threading.get_ident() and self.what not in NEVER_IN_A_CALLBACK
        if not self.shared and not claims._lock.acquire(blocking=False):
            raise RuntimeError(f"{self.what} must wait: this model is in use, by another thread or by the fit that "
                               f"called this loss, metric or callback. To train at the same time, train copies of "
                               f"it (copy.deepcopy).")

    def __exit__(self, *_):
        if not self.shared:
            self.claims._lock.release()
