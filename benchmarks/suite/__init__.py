"""The asv suite: run per commit, without other libraries.

    kernels      each activation, loss, optimizer and product of matrices, at each CPU level
    hot_loop     a training step by width, depth, batch, dtype and optimizer; GFLOP/s and the share of the peak
    epochs       whole epochs, and the loss they end at
    prediction   one row, many rows
    threads      what a second thread gains and costs
    memory       peak of the process, allocations of a step
    saving       models to and from files
    imports      a fresh process
    wheel        its size

workloads.py and common.py hold what these share, allocations.py counts for memory.py.  README.md shows the commands.

For the work tree, where nnfast is installed (editable will do; asv drops PYTHONPATH), no environment has to be built:

    asv run --quick --python=same --set-commit-hash $(git rev-parse HEAD)

Without --set-commit-hash nothing is saved.  An exit code of 1 or 2 may mean a regression, a failure, or that nothing
ran: look at the results.

Traps.  asv takes every growth for a regression, that of GFLOP/s, too: compare commits with `--bench "time|peakmem"`.
asv calls `setup` before every timed call, and times calls one by one: state is made once per process, by cached
functions; short things are repeated within a call, and `common.per` makes its time that of one.  Nothing at the level
of a module may start a thread, call a BLAS or import a peer: asv may import the suite and then fork.  Lists of
parameters must not depend on the package installed (see `common.declared`); what a commit does not have is skipped:
NotImplementedError in `setup`.
"""
