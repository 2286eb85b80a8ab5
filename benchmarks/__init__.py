"""Benchmarks; each module answers one question.

    python -m benchmarks.peers                  how long is an epoch, compared with other libraries?
    python -m benchmarks.peers --figures        how much of the machine is used?
    python -m benchmarks.random_nets            is it the fastest at nets it was not tuned on?
    python -m benchmarks.estimators             how fast are the estimators, beside scikit-learn's?
    python -m benchmarks.estimator_scores       are their scores the same?
    python -m benchmarks.scaling                does time grow as the work does?
    python -m benchmarks.latency                what does one row, or one step, cost?
    python -m benchmarks.busy                   what happens when other work shares the machine?
    python -m benchmarks.products               how fast are matrix products, compared with a BLAS?
    python -m benchmarks.blas                   and at every size?
    python -m benchmarks.losses                 how fast are the losses, compared with PyTorch?
    python -m benchmarks.optimizers             and the optimizers?
    python -m benchmarks.learning_rates         does `find_learning_rate` suggest a good rate?
    python benchmarks/instructions/check.py     does the hot loop take more instructions?
    asv run --config benchmarks/asv.conf.json   has a commit made nnfast slower, or training worse?

Run them in the root of the repository, with nnfast built in place.  Compare times only within one
run: they change from machine to machine and from hour to hour.
"""
