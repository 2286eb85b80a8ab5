"""Benchmarks; each module answers one question.  Run them in the repository's root, with nnfast built in place.

    asv run --config benchmarks/asv.conf.json    has a commit made nnfast slower, or its training worse?
    python benchmarks/instructions/check.py      does the hot loop take more instructions than it did?  (needs valgrind)
    python -m benchmarks.peers                   how long is an epoch, beside other libraries?
    python -m benchmarks.peers --figures         how much of the machine is used?
    python -m benchmarks.random_nets             is it the fastest at nets it was not tuned on?
    python -m benchmarks.scaling                 does time grow as the work does?
    python -m benchmarks.latency                 what does one row, or one step, cost?
    python -m benchmarks.busy                    what happens when other work shares the machine?
    python -m benchmarks.products                how fast are the matrix products, beside a BLAS?
    python -m benchmarks.blas                    and at every size?
    python -m benchmarks.losses                  how fast are the losses, beside PyTorch's?

Times are compared inside one run only: they drift from machine to machine and from hour to hour.
"""
