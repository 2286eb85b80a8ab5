"""JAX: a whole epoch is one compiled call, a lax.scan over the batches.

Variants are the form of the parameters: one `flat` vector, or a `tree` of kernels and biases.  XLA
takes its number of threads from the CPUs that the process may use, so they are set before the
import.
"""
import os

from benchmarks.peers import timed
from benchmarks.suite import workloads

NAME = "JAX"
REQUIRES = ("jax", "jaxlib")
VARIANTS = ("flat", "tree")


def pin(threads):
    """Sets the number of threads of XLA; call it before JAX is imported."""
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def prepare(name, variant, threads):
    pin(threads)
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    workload = workloads.find(name)
    jax.config.update("jax_enable_x64", workload.dtype == "float64")
    whole, rest = divmod(workload.rows, workload.batch_size)
    weights = [jnp.asarray(array) for array in workloads.first_weights(name)]
    if variant == "flat":
        params, tree = ravel_pytree(weights)
    else:
        params, tree = weights, lambda params: params

    def loss(params, x, y):
        *hidden, kernel, bias = tree(params)
        for w, b in zip(hidden[::2], hidden[1::2], strict=True):
            x = jax.nn.relu(x @ w + b)
        if workload.loss == "mse":
            return jnp.square(x @ kernel + bias - y).mean()
        return -jnp.take_along_axis(jax.nn.log_softmax(x @ kernel + bias), y[:, None], 1).mean()

    def step(state, x, y):
        params, m, v, t = state
        value, g = jax.value_and_grad(loss)(params, x, y)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate = workloads.LEARNING_RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), params, m, v)
        return (params, m, v, t), value

    @jax.jit
    def epoch(state, x, y, key):
        order = jax.random.permutation(key, jnp.arange(workload.rows, dtype=jnp.int32))
        batches = order[:workload.rows - rest].reshape(whole, workload.batch_size)
        state, losses = jax.lax.scan(lambda state, rows: step(state, x[rows], y[rows]), state, batches)
        if rest:
            state, last = step(state, x[order[-rest:]], y[order[-rest:]])
            losses = jnp.append(losses, last)
        return state, losses.mean()

    x, y = workloads.data(name)
    x, y = jnp.asarray(x), jnp.asarray(y if workload.loss == "mse" else y.astype("int32"))
    zeros = jax.tree.map(jnp.zeros_like, params)
    state, key = (params, zeros, zeros, jnp.zeros((), workload.dtype)), jax.random.key(0)

    def one_epoch():
        nonlocal state, key
        key, now = jax.random.split(key)
        state, _ = jax.block_until_ready(epoch(state, x, y, now))

    return timed(one_epoch), lambda: jax.device_get(tree(state[0]))
