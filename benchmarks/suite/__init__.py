"""The asv suite: run per commit, without other libraries.

Where nnfast is installed (editable will do; asv drops PYTHONPATH), no environment has to be built:

    asv machine --yes --config benchmarks/asv.conf.json
    asv check -E existing --config benchmarks/asv.conf.json
    asv run --quick --python=same --set-commit-hash $(git rev-parse HEAD) --config benchmarks/asv.conf.json

Without --set-commit-hash nothing is saved.  An exit code of 1 or 2 may mean a regression, a failure, or that nothing
ran: look at the results.

Nothing at the level of a module may start a thread, call a BLAS or import a peer: asv imports the suite and then forks.
"""
