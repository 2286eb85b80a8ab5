"""One epoch of nnfast beside one epoch of other libraries, on the CPU.

The rules: every (library, variant, threads, network) runs in a process of its own, libraries taking turns inside each
round; the same data in memory, first weights (scikit-learn: its own of the same scale), batch size, Adam(1e-3),
float32, and a new order of rows every epoch; BLAS and OpenMP threads pinned through the environment, and variables that
choose a library's kernels unset.  Each process times EPOCHS epochs; the fastest counts, so compilation and warm-up do
not.  The loss is that of the weights after these epochs over the training rows, computed by NumPy for all of them.

A library is a module here: NAME, REQUIRES (modules to import), VARIANTS, and
`train(name, variant, threads, epochs)`, which returns the seconds of each epoch and the weights at the end.
"""
LIBRARIES = ("nnfast", "torch", "jax", "keras", "sklearn")
EPOCHS = 6
