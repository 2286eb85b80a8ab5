"""The loop over ranges of batches: native calls of about 0.1 s, so that Ctrl-C, a bar and callbacks have their turn between them."""
import time

from nnfast._core import network as core


def train_in_ranges(network, batches, team, rates, sums, before_batch=None, **options):
    """Trains on the batches, in ranges whose length and threads the team chooses.

    Parameters
    ----------
    network : Network
    batches : Batches
    team : Team
    rates : function (first step, number of steps) -> float, or array with a rate for each step
    sums : float64 array
        Added to: loss and metrics of the rows.
    before_batch : function of the number of a batch, optional
        Called before each batch; a range is then one batch.
    options : of `Network.train_batches`

    Yields
    ------
    done, status, place : int
        After each range, as `train_batches` returns them.  A status other than DONE is the last; the reader may stop earlier.
    """
    batch, status = 0, core.DONE
    while batch < len(batches) and status == core.DONE:
        size, count, trial = team.next_range()
        if before_batch is not None:
            count = 1
            before_batch(batch)
        begin, stop = time.perf_counter(), min(batch + count, len(batches))
        done, status, place = network.train_batches(batches, batch, stop, rates(network.steps, stop - batch), sums, size, **options)
        if status == core.DONE:
            team.record(size, done - batch, time.perf_counter() - begin, trial)
        yield done, status, place
        batch = done
