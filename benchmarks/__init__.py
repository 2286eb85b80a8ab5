"""Benchmarks; each module answers one question.  Run them in the repository's root, with nnfast built in place.

    asv run --config benchmarks/asv.conf.json    has a commit made nnfast slower, or its training worse?
    python benchmarks/instructions/check.py      does the hot loop take more instructions than it did?  (needs valgrind)
    python -m benchmarks.peers                   how long is an epoch, beside other libraries?
    python -m benchmarks.peers --figures         how much of the machine is used?
    python -m benchmarks.latency                 what does one row, or one step, cost?
    python -m benchmarks.busy                    what happens when other work shares the machine?
    python -m benchmarks.products                how fast are the matrix products, beside a BLAS?

Times are compared inside one run only: they drift from machine to machine and from hour to hour.
"""
