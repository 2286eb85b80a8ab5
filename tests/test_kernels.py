"""Products of a dense layer, in every size around the register tiles and every memory layout."""
import numpy as np
import pytest

from nnfast import Dense, Input, Sequential, functional as F
from nnfast._core import network as core

DTYPES = [np.float32, np.float64]
SIZES = range(1, 71)


def assert_product(actual, a, b):
    """Checks |C - A B| <= (k + 1) eps |A| |B|.

    This is the bound of a chain of k roundings (Higham 2002, section 3.5).
    """
    eps = np.finfo(actual.dtype).eps
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    error, bound = np.abs(actual - a @ b), (a.shape[1] + 1) * eps * (np.abs(a) @ np.abs(b))
    assert (error <= bound).all(), f"{a.shape} @ {b.shape}: off by {error.max()}, bound {bound[error > bound].min()}"


def data(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def check_layer(rows, n_in, n_out, dtype, rng):
    x, kernel, bias = data(rng, dtype, rows, n_in), data(rng, dtype, n_in, n_out), data(rng, dtype, n_out)
    delta = data(rng, dtype, rows, n_out)
    z = F.dense_forward(x, kernel)
    assert z.dtype == dtype
    assert_product(z, x, kernel)
    np.testing.assert_array_equal(F.dense_forward(x, kernel, bias), z + bias)
    d_x, d_kernel, d_bias = F.dense_backward(x, kernel, delta)
    assert_product(d_x, delta, kernel.T)
    assert_product(d_kernel, x.T, delta)
    assert_product(d_bias[None], np.ones((1, rows)), delta)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", ["rows", "n_in", "n_out"])
def test_products_are_right_for_every_size_of_one_axis(axis, dtype):
    rng = np.random.default_rng(["rows", "n_in", "n_out"].index(axis))
    for size in SIZES:
        for others in rng.integers(1, 71, (4, 3)):
            shape = dict(zip(("rows", "n_in", "n_out"), (int(n) for n in others), strict=True))
            shape[axis] = size
            check_layer(**shape, dtype=dtype, rng=rng)


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_are_right_for_square_matrices(dtype):
    rng = np.random.default_rng(3)
    for size in SIZES:
        check_layer(size, size, size, dtype, rng)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_out", [1, 2, 3, 5, 8, 10, 40, 84])
@pytest.mark.parametrize("n_in", [3, 40, 100])
def test_a_row_does_not_depend_on_the_rows_beside_it(n_in, n_out, dtype):
    """Threads share the rows of a batch: a split must change no bit in any form of the product."""
    rng = np.random.default_rng(5)
    x, kernel = data(rng, dtype, 45, n_in), data(rng, dtype, n_in, n_out)
    whole = F.dense_forward(x, kernel)
    for first, last in [(0, 1), (3, 5), (0, 16), (7, 24), (1, 45)]:
        np.testing.assert_array_equal(F.dense_forward(x[first:last], kernel), whole[first:last])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [
    (300, 1100, 700), (257, 513, 129), (1, 2000, 3), (2000, 1, 1), (3, 255, 1025),
    (1100, 600, 130),           # x^T delta by copies of 512 rows of x
    (700, 517, 129),            # x^T delta as its transpose, but for the last 5 rows, by copies
])
def test_products_are_right_for_large_matrices(shape, dtype):
    check_layer(*shape, dtype, np.random.default_rng(4))


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def strided(array):
    wide = np.full((2 * array.shape[0], 3 * array.shape[1]), np.nan, array.dtype)
    wide[::2, 1::3] = array
    return wide[::2, 1::3]


def unaligned_rows(array):
    """Returns rows whose distance is no multiple of the item size."""
    row = array.itemsize * array.shape[1]
    memory = np.zeros((array.shape[0], row + 2), np.uint8)
    memory[:, :row] = array.copy().view(np.uint8)
    return np.ndarray(array.shape, array.dtype, memory, 0, (row + 2, array.itemsize))


LAYOUTS = {
    "fortran": np.asfortranarray,
    "transposed": lambda array: array.T.copy().T,
    "reversed": lambda array: array[::-1, ::-1].copy()[::-1, ::-1],
    "strided": strided,
    "read only": read_only,
    "unaligned": unaligned_rows,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [500, 9000])
def test_gradient_of_wide_rows_is_right_for_batches_of_any_length(rows, dtype):
    """The workspace holds 8,192 rows, so the gradient of 9,000 adds up parts."""
    rng = np.random.default_rng(rows)
    x, y = data(rng, dtype, rows, 530), data(rng, dtype, rows, 140)
    model = Sequential([Input(530), Dense(140)], dtype=np.dtype(dtype).name, seed=0)
    model.compile("sgd", "mse")
    delta = 2 * (model.predict(x).astype(np.float64) - y) / (140 * rows)
    d_kernel, d_bias = model.loss_and_gradients(x, y)[1]
    tolerance = 1e-5 if dtype == np.float32 else 1e-13
    np.testing.assert_allclose(d_kernel, x.T.astype(np.float64) @ delta, rtol=0, atol=tolerance)
    np.testing.assert_allclose(d_bias, delta.sum(axis=0), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layout_changes_no_bit(layout, dtype):
    rng = np.random.default_rng(5)
    x, kernel, delta = data(rng, dtype, 37, 21), data(rng, dtype, 21, 45), data(rng, dtype, 37, 45)
    move = LAYOUTS[layout]
    np.testing.assert_array_equal(move(x), x)
    np.testing.assert_array_equal(F.dense_forward(move(x), move(kernel)), F.dense_forward(x, kernel))
    moved = F.dense_backward(move(x), move(kernel), move(delta))
    for actual, expected in zip(moved, F.dense_backward(x, kernel, delta), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_broadcast_rows_that_share_memory_are_accepted():
    x = np.broadcast_to(np.arange(5.), (9, 5))
    kernel = np.arange(10.).reshape(5, 2)
    np.testing.assert_array_equal(F.dense_forward(x, kernel), x @ kernel)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("over_rows", [False, True])
def test_prefetches_change_no_bit(over_rows, dtype):
    rng = np.random.default_rng(7)
    for rows, k, n in ((3, 5, 70), (31, 40, 200), (50, 300, 130)):
        a, b = data(rng, dtype, k, rows).T if over_rows else data(rng, dtype, rows, k), data(rng, dtype, k, n)
        alone, shared = np.zeros((2, rows, n), dtype)
        core.matmul(a, b, alone, 1, over_rows)
        core.matmul(a, b, shared, 1, over_rows, True)
        assert_product(alone, a, b)
        np.testing.assert_array_equal(alone, shared)


@pytest.mark.parametrize("dtype", DTYPES)
def test_product_may_be_written_in_any_layout(dtype):
    rng = np.random.default_rng(6)
    a, b = data(rng, dtype, 20, 33), data(rng, dtype, 33, 19)
    out = np.full((40, 38), 7, dtype)
    core.matmul(a, b, out[::2, ::2])
    assert_product(out[::2, ::2], a, b)
    assert (out[1::2] == 7).all() and (out[:, 1::2] == 7).all()


def test_a_row_alone_has_the_bits_of_a_row_in_a_batch():
    rng = np.random.default_rng(7)
    x, kernel = data(rng, np.float32, 61, 300), data(rng, np.float32, 300, 50)
    together = F.dense_forward(x, kernel)
    alone = np.concatenate([F.dense_forward(row[None], kernel) for row in x])
    np.testing.assert_array_equal(together, alone)


def test_out_receives_the_result():
    x, kernel, delta = np.ones((4, 3)), np.ones((3, 2)), np.ones((4, 2))
    out = np.empty((4, 2))
    assert F.dense_forward(x, kernel, out=out) is out
    assert (out == 3).all()
    places = np.empty((4, 3)), np.empty((3, 2)), np.empty(2)
    for place, result, value in zip(places, F.dense_backward(x, kernel, delta, out=places), (2, 4, 4), strict=True):
        assert place is result
        assert (place == value).all()


def test_no_rows_give_no_rows_and_zero_gradients():
    x, kernel = np.empty((0, 3)), np.ones((3, 2))
    assert F.dense_forward(x, kernel).shape == (0, 2)
    d_x, d_kernel, d_bias = F.dense_backward(x, kernel, np.empty((0, 2)))
    assert d_x.shape == (0, 3)
    assert (d_kernel == 0).all() and (d_bias == 0).all()


@pytest.mark.parametrize("call", [
    lambda: F.dense_forward(np.ones((2, 3)), np.ones((4, 2))),
    lambda: F.dense_forward(np.ones((2, 3)), np.ones((3, 2)), np.ones(3)),
    lambda: F.dense_forward(np.ones(3), np.ones((3, 2))),
    lambda: F.dense_forward(np.ones((2, 3)), np.ones((3, 2)), out=np.empty((2, 3))),
    lambda: F.dense_forward(np.ones((2, 3)), np.ones((3, 2)), out=np.empty((2, 2), np.float32)),
    lambda: F.dense_backward(np.ones((2, 3)), np.ones((3, 2)), np.ones((3, 2))),
    lambda: core.matmul(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3))),
])
def test_shapes_that_do_not_fit_are_errors(call):
    with pytest.raises(ValueError, match="must"):
        call()
