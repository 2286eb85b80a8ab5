"""The loop over ranges of batches.

Each range is one native call of about 0.1 s.  Between two of them Python handles Ctrl-C, the
progress bar and callbacks.
"""
import time

from nnfast._core import network as core


def train_in_ranges(network, batches, team, rates, sums, before_batch=None, **options):
    """Trains on the batches, in ranges whose length and number of threads the team chooses.

    Parameters
    ----------
    network : Network
    batches : Batches
    team : Team
    rates : function
        (first step, number of steps) -> learning rate of all of them, or an array of their rates.
    sums : float64 array
        Loss and metrics of the rows are added to it.
    before_batch : function, optional
        Called with the number of each batch before it; each range is then one batch.
    options : of `Network.train_batches`

    Yields
    ------
    done, status, place : int
        After each range, as `train_batches` returns them.  The loop ends after a status other than
        DONE; the caller may stop earlier.
    """
    batch, status = 0, core.DONE
    while batch < len(batches) and status == core.DONE:
        size, count, trial = team.next_range()
        if before_batch is not None:
            count = 1
            before_batch(batch)
        begin, stop = time.perf_counter(), min(batch + count, len(batches))
        done, status, place = network.train_batches(batches, batch, stop, rates(network.steps, stop - batch), sums,
                                                    size, **options)
        if status == core.DONE:
            team.record(size, done - batch, time.perf_counter() - begin, trial)
        yield done, status, place
        batch = done
