"""Who may use a model: one call at a time, and the callbacks of a fit within it.

    fit, evaluate, ...     `with claims.take("fit")`: another thread that comes meanwhile gets an error, and does not wait
    its callbacks          `with claims.opened()`: their thread may use the model while its fit holds it
    predict                takes no claim: it only reads
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
        """Context manager: holds the lock while `what`, the name of a method, runs; RuntimeError if the model is taken."""
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
    """A class, for it is entered on every step of `train_on_batch`: a generator costs three times as much."""

    def __init__(self, claims, what):
        self.claims, self.what = claims, what

    def __enter__(self):
        claims = self.claims
        self.shared = claims._open_to == threading.get_ident() and self.what not in NEVER_IN_A_CALLBACK
        if not self.shared and not claims._lock.acquire(blocking=False):
            raise RuntimeError(f"{self.what} must wait: this model is in use, by another thread or by the fit that called "
                               f"this loss, metric or callback. Train copies of it (copy.deepcopy) to train at the same time.")

    def __exit__(self, *_):
        if not self.shared:
            self.claims._lock.release()
