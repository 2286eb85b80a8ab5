"""The number of threads, and the threads of a fit, which end when `fit` returns.

A number of threads that the user sets is used, unless a step has too little work to be shared at
all.  The default number is only an upper bound, for two reasons: a step must have enough work to
pay for its barriers, and threads that wait for each other in every step are slow if another process
takes one of their cores.  So ranges of batches are timed: first with the full team, then with half
as many threads each time, as long as that is faster.  Now and then the next larger or smaller team
is tried, and the fastest continues.

Fits that run at the same time, in threads of the user, joblib or Dask, share the CPUs.  Helpers are
started only when a range needs them, so that a fit that begins beside others starts none.  A
process learns its share from OMP_NUM_THREADS: loky of joblib sets it to CPUs / jobs, or to
inner_max_num_threads; Dask sets it to 1.

The results are the same bits for every number of threads.
"""
from __future__ import annotations

import contextlib
import functools
import os
import threading
import time

from nnfast import _validation as check
from nnfast._core import network as core

MOST = core.MOST_THREADS
# Least floating-point operations of a step for each thread.  Less work takes under 1 microsecond,
# the time of a barrier.
LEAST_WORK = 1e5
WORK_PER_THREAD = 2.5e6         # the same for the default number: enough that another thread makes a step faster
ROWS_WORK_PER_THREAD = 5e8      # the same for a call of predict or evaluate, which starts its own threads
SLICE_WORK = 1e10               # operations of one native call of predict or evaluate: about 0.1 s, as below
RANGE_SECONDS = 0.1             # duration of a range of batches, so that Ctrl-C is noticed in time
FIRST_SECONDS = 0.01            # duration of the first ranges and of trials
FIRST_SPEED = 2e10              # operations per second that are assumed for the first range
# Time between two trials of another team size, in durations of a trial: trials cost at most 2 %.
TRIAL_EVERY = 40
# The same after the size has changed, because one of the two measured times may have been
# disturbed.  It doubles with each trial.
TRIAL_SOON = 5


def cpus() -> int:
    """Number of CPUs that affinity, the quota of the control group and OMP_NUM_THREADS allow."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            quota, period = file.read().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(count, int(limit)) if limit.isdecimal() and int(limit) > 0 else count


def most_threads(n_threads: int | None) -> tuple[int, bool]:
    """Upper bound of the number of threads, and whether the user fixed it."""
    if hasattr(alone, "stop"):
        return 1, True
    if n_threads is not None:
        n_threads = check.size(n_threads, "n_threads")
        if n_threads > MOST:
            raise ValueError(f"n_threads must be at most {MOST}, got {n_threads}.")
        return n_threads, True
    wanted = os.environ.get("NNFAST_NUM_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or not 1 <= int(wanted) <= MOST:
            raise ValueError(f"NNFAST_NUM_THREADS must be an integer in [1, {MOST}], got {wanted!r}. Correct or unset "
                             f"it.")
        return min(int(wanted), cpus()), False
    return min(cpus(), MOST), False


_teams: set[Team] = set()       # teams of the fits that run now, in any thread
# A thread that trains one of many nets has `alone.stop`, an Event: it starts no helpers, and it
# ends when the event is set.
alone = threading.local()


def _share(most):
    """How many of `most` threads this thread may use, beside the other threads that fit now."""
    return max(1, most // len({team.owner for team in tuple(_teams)} | {threading.get_ident()}))


def sizes_to_try(most):
    """Sizes of a team, from large to small: `most`, and the powers of two below it."""
    return [most, *(2**power for power in reversed(range((most - 1).bit_length())))]


class Pace:
    """The measured speed of a model, kept between its fits."""

    def __init__(self):
        self.forget(None)

    def forget(self, work):
        """Forgets what was measured; `work` is the operations of the steps to come."""
        self.work = work
        self.warm = False       # True after the first range, which is not counted: it starts threads, touches memory
        self.seconds = {}       # {size of the team: seconds per batch in its last range}
        self.wait = TRIAL_SOON  # time to the next trial of another size, in durations of a trial
        self.trial_due = 0.0    # when that trial is due
        self.turn = 0           # trials so far: the larger and the smaller team take turns

    def best(self):
        """The size of the team whose last range was fastest; None before the first range."""
        return min(self.seconds, key=self.seconds.get, default=None)

    def choose(self, sizes):
        """Size of the next team, one of `sizes` from large to small, and whether it is a trial."""
        known = {size: self.seconds[size] for size in sizes if size in self.seconds}
        if not known:
            return sizes[0], True
        best = min(known, key=known.get)
        place = sizes.index(best)
        beside = [*sizes[place + 1:place + 2], *sizes[max(place - 1, 0):place]]
        untried = [size for size in beside if size not in known]
        if untried:
            return untried[0], True
        if beside and time.perf_counter() > self.trial_due:
            self.turn += 1
            return beside[self.turn % len(beside)], True
        return best, False

    def record(self, size, seconds, length, trial):
        """Records the seconds per batch of a range of `length` seconds."""
        if not self.warm:
            self.warm = True
            return
        before = self.best()
        self.seconds[size] = seconds
        changed = self.best() != before
        if changed:
            self.wait = TRIAL_SOON
        elif trial:
            self.wait = min(2 * self.wait, TRIAL_EVERY)
        if trial or changed:
            self.trial_due = time.perf_counter() + self.wait * min(length, FIRST_SECONDS)


class Team:
    """The threads of one fit, and the length of its next range.

    Parameters
    ----------
    network : Network
    n_threads : int or None
        Number of threads; fewer are used when a step has too little work.  With None it depends on
        the work of a step and on measured times.
    work : float
        Floating-point operations of one step.
    pace : Pace
        The pace of the model.  It is forgotten when the work of a step has changed.
    """

    def __init__(self, network, n_threads, work, pace):
        self.network = network
        self.most, self.fixed = most_threads(n_threads)
        each = LEAST_WORK if self.fixed else WORK_PER_THREAD
        self.most = max(1, min(self.most, int(work / each) if each else self.most))
        self.work = work
        if pace.work != work:
            pace.forget(work)
        self.pace = pace
        self.helpers = []

    def __enter__(self):
        self.owner = threading.get_ident()
        _teams.add(self)
        return self

    def grow(self, size):
        """Starts helpers up to `size` threads; returns how many threads there are."""
        last = self.network.job()
        try:
            while len(self.helpers) < size - 1:
                helper = threading.Thread(target=self.network.help, args=(1 + len(self.helpers), last), daemon=True,
                                          name=f"nnfast-{1 + len(self.helpers)}")
                self.helpers.append(helper)
                helper.start()
        except RuntimeError:
            self.helpers.pop()
            self.most = 1 + len(self.helpers)
        return min(size, self.most)

    def __exit__(self, *_):
        """Ends the helpers.  A Ctrl-C is raised only after that: the next fit relies on it."""
        _teams.discard(self)
        self.network.dismiss()
        interrupt = None
        while self.helpers:
            try:
                if self.helpers[-1].ident is not None:
                    self.helpers[-1].join()
                self.helpers.pop()
            except KeyboardInterrupt as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def next_range(self):
        """Number of threads and of batches for the next range, and whether the range is a trial."""
        if hasattr(alone, "stop") and alone.stop.is_set():
            raise KeyboardInterrupt
        known = self.pace.seconds
        size, trial = self.most if self.fixed else _share(self.most), False
        if not self.fixed and size == self.most > 1:
            size, trial = self.pace.choose(sizes_to_try(self.most))
        size = self.grow(size)
        seconds = FIRST_SECONDS if trial or size not in known else RANGE_SECONDS
        per_batch = max(known.get(size, self.work / FIRST_SPEED), 1e-9)
        return size, max(1, int(seconds / per_batch)), trial

    def record(self, size, batches, seconds, trial):
        """Records the time of a range."""
        self.pace.record(size, seconds / batches, seconds, trial)


_blas_limited = threading.Lock()


@functools.cache
def _blas_pools():
    """The libraries whose threads can be limited; searched for once: it takes milliseconds."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread():
    """Limits BLAS to one thread, if threadpoolctl is installed; scikit-learn requires it.

    SciPy's L-BFGS-B calls BLAS for vectors of some thousand elements.  Its threads wait for each
    other there, and take the CPUs from our threads between the calls.  The limit holds for the
    whole process: the first thread to come here sets and resets it, others leave it as it is.
    """
    first = _blas_limited.acquire(blocking=False)
    try:
        pools = _blas_pools() if first else None
        with contextlib.nullcontext() if pools is None else pools.limit(limits=1, user_api="blas"):
            yield
    finally:
        if first:
            _blas_limited.release()


def over_rows(function, rows, work, n_threads):
    """Calls function(start, stop) for spans of rows, in threads; returns the results in order.

    `work` is the operations of a row: more threads are used only if each has enough work.
    """
    most, fixed = most_threads(n_threads)
    most = most if fixed else _share(most)
    count = max(1, min(most, rows) if fixed else min(most, rows, int(rows * work / ROWS_WORK_PER_THREAD) + 1))
    if count == 1:
        return [function(0, rows)]
    bounds = [rows * i // count for i in range(count + 1)]
    results = [None] * count
    errors = []

    def run(i):
        try:
            results[i] = function(bounds[i], bounds[i + 1])
        except BaseException as error:      # handed to the caller below
            errors.append(error)

    helpers = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(1, count)]
    for i, helper in enumerate(helpers, 1):
        try:
            helper.start()
        except RuntimeError:                # the system gives no more threads
            helpers[i - 1] = None
            run(i)
    run(0)
    for helper in helpers:
        if helper is not None:
            helper.join()
    if errors:
        raise errors[0]
    return results
