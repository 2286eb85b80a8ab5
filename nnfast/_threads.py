"""How many threads, and the threads themselves: they live as long as one fit.

A number that the user gives is kept, unless a step has too little work to be shared at all.  The default is an upper
bound: a step must hold enough work to pay for its barriers, and a team in lockstep suffers when another process takes
one of its cores; so ranges of batches are timed, one thread is tried beside the full team now and then, and the faster
of the two goes on.  Fits that run at the same time, in threads of the user's, joblib's or Dask's, share the CPUs: helpers
are started when a range is to have them, so that fits that begin beside others start none.  A process is told its share
by OMP_NUM_THREADS: joblib's loky sets it to CPUs / jobs, or to inner_max_num_threads, Dask to 1.  The results are the
same bits either way.
"""
import contextlib
import functools
import os
import threading
import time

from nnfast import _validation as check
from nnfast._core import network

MOST = network.MOST_THREADS
LEAST_WORK = 1e5                # floating-point operations of a step for each thread: less is done in 1 microsecond, a barrier's time
WORK_PER_THREAD = 2.5e6         # the same for the default: enough to gain by another thread
ROWS_WORK_PER_THREAD = 5e8      # the same for predict and evaluate, which start threads and share no step
RANGE_SECONDS = 0.1             # a range of batches lasts about this long, so that Ctrl-C is seen in time
FIRST_SECONDS = 0.01            # and the first ones less
FIRST_SPEED = 2e10              # operations a second that the first range counts on
TRIAL_EVERY = 40                # lengths of a trial between trials of the other team size: they cost 2 % at most
TRIAL_SOON = 5                  # the same after the size has changed, doubled from trial to trial: one of both may have been disturbed


def cpus():
    """CPUs this process may use: its affinity, the quota of its control group, OMP_NUM_THREADS."""
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


def most_threads(n_threads):
    """Upper bound of threads, and whether the user set it."""
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
            raise ValueError(f"NNFAST_NUM_THREADS must be an integer in [1, {MOST}], got {wanted!r}. Unset it or set it to one.")
        return min(int(wanted), cpus()), False
    return min(cpus(), MOST), False


_teams = set()                  # of fits that run now, in any thread
alone = threading.local()       # `stop`, an Event, in a thread that trains one of many nets: it has no helpers, and ends when it is set


def _share(most):
    """How many of `most` threads are for this thread of the user's, beside those that fit now."""
    return max(1, most // len({team.owner for team in tuple(_teams)} | {threading.get_ident()}))


class Pace:
    """What a model has seen of its speed, kept between its fits."""

    def __init__(self):
        self.forget(None)

    def forget(self, work):
        """Begins anew, for steps of so much work."""
        self.work = work
        self.warm = False       # after the first range, which starts threads and touches memory, and is not counted
        self.seconds = {}       # per batch, by size of the team: the last range of each
        self.wait = TRIAL_SOON  # lengths of a trial until the other size is tried again
        self.trial_due = 0.0    # the time of that

    def best(self):
        """The size whose last range was the fastest; None before the first."""
        return min(self.seconds, key=self.seconds.get, default=None)

    def record(self, size, seconds, length, trial):
        """What a batch took in a range that lasted `length` seconds."""
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
        Number of threads; fewer are used when a step has too little work.  None decides by work and by the clock.
    work : float
        Floating-point operations of one step.
    pace : Pace
        Of the model; a step of another size makes it forget.
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
        """Starts helpers until `size` threads can work, or as many as the system gives; returns how many that are."""
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
        """Ends the helpers; a Ctrl-C meanwhile waits until they have ended, for the next fit counts on it."""
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
        """Threads for the next range, how many batches it should have, and whether it is a trial."""
        if hasattr(alone, "stop") and alone.stop.is_set():
            raise KeyboardInterrupt
        known = self.pace.seconds
        size, trial = self.most if self.fixed else _share(self.most), False
        if not self.fixed and size == self.most > 1:
            sizes = (self.most, 1)
            missing = [n for n in sizes if n not in known]
            if missing:
                size, trial = missing[0], True
            else:
                size = min(sizes, key=known.get)
                if time.perf_counter() > self.pace.trial_due:
                    size, trial = self.most + 1 - size, True
        size = self.grow(size)
        seconds = FIRST_SECONDS if trial or size not in known else RANGE_SECONDS
        per_batch = max(known.get(size, self.work / FIRST_SPEED), 1e-9)
        return size, max(1, int(seconds / per_batch)), trial

    def record(self, size, batches, seconds, trial):
        """What a range took."""
        self.pace.record(size, seconds / batches, seconds, trial)


_blas_limited = threading.Lock()


@functools.cache
def _blas_pools():
    """The libraries whose threads can be limited, searched for once: that takes milliseconds."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread():
    """Keeps BLAS to one thread meanwhile, if threadpoolctl is there; scikit-learn brings it.

    SciPy's L-BFGS-B calls BLAS for vectors of some thousand numbers: threads of BLAS wait for each other there, and take
    the CPUs from ours between the calls.  The limit is one of the process: the thread that comes first sets it and puts
    it back, others do nothing meanwhile.
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
    """Calls function(start, stop) for spans of the rows, in as many threads as pay; returns the results in order."""
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
