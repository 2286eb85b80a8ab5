"""The asv suite: run for each commit, without other libraries.

    kernels      each activation, loss, optimizer and matrix product, at each CPU level
    hot_loop     a training step by width, depth, batch, dtype, optimizer; GFLOP/s, share of peak
    epochs       whole epochs, and the loss at their end
    prediction   one row, many rows
    threads      what a second thread gains and costs
    memory       peak of the process, allocations of a step
    saving       models to and from files
    imports      a new process
    wheel        its size

workloads.py and common.py hold what these share; allocations.py counts for memory.py.  README.md
has the commands.  To measure the work tree, with nnfast installed (an editable install will do,
but asv removes PYTHONPATH), no environment has to be built:

    asv run --quick --python=same --set-commit-hash $(git rev-parse HEAD)

Without --set-commit-hash nothing is saved.  An exit code of 1 or 2 may mean a regression, a
failure, or that nothing ran: look at the results.

Pitfalls:
- asv takes every increase for a regression, also of GFLOP/s.  Compare commits with
  `--bench "time|peakmem"`.
- asv calls `setup` before every timed call, and times calls one by one.  So cached functions create
  state once in each process; short calls are repeated within one call, and `common.per` divides its
  time.
- Nothing at the level of a module may start a thread, call a BLAS or import a peer, because asv may
  import the suite and then fork.
- Lists of parameters must not depend on the installed package (see `common.declared`).  What a
  commit does not have is skipped by NotImplementedError in `setup`.
"""
