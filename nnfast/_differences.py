"""Difference quotients, and how accurate each one is: gradients are compared with them.

    slopes      forward (f(x + h) - f(x)) / h and backward (f(x) - f(x - h)) / h, at h and h / 2
    quotient    the mean C of both slopes is the central difference; (4 C(h / 2) - C(h)) / 3 cancels
                its error in h^2 (Richardson)
    steps       the first step h is 1e-4 max(1, |x|).  If its quotient differs from the gradient, or
                the slopes from each other, smaller steps are tried, down to |x| / 500 for a tiny x.
                Then the step is used whose quotient is closest to those of its neighbours.  So log
                p is judged right at p = 1e-6, and as flat below 1e-7 if it is clipped there.  The
                gradient under test has no influence on this choice.
    kink        f like |x| or max(x, 0): the difference between the slopes stays as h shrinks; for a
                smooth f it shrinks with h.  Any gradient between the two slopes is right (a
                subgradient).
    edge        f is finite on one side of x only: the slope of that side is used
    noise       the error of a value of f: a few eps |f|, or more if large terms cancel in it; see
                `measure_noise`
    rounding    the error of a quotient that noise causes: noise / h
    doubt       the difference between the quotients of neighbouring steps.  Rounding and doubt say
                how accurate a quotient is; both are added to the tolerance.

f may return several parts, whose sum is its value.  Each part is subtracted before the sum is
taken, so parts that did not change cancel exactly.
"""
import numpy as np

# The first step is about eps^(1/5), where the rounding of (4 C(h / 2) - C(h)) / 3 equals its error
# in h^4.  In float64 it is smaller, so that fewer kinks lie within it.  LEVELS steps follow, each
# SHRINK times smaller.
FIRST_STEP = {"float32": 0.03, "float64": 1e-4}
SHRINK = {"float32": 8, "float64": 16}
LEVELS = 6
ROWS, COLUMNS = 8, 16       # largest numbers of rows and columns that row_mismatch checks
ROW_TOLERANCE = {"float32": (0.1, 1e-3), "float64": (0.01, 1e-6)}      # of row_mismatch: rtol, atol / largest entry


def quotients(values, base, noise, x, given, rtol):
    """Difference quotients of k functions of one variable each.

    Parameters
    ----------
    values : function
        x (k,) -> (k, m), the parts of each function's value.
    base, noise : array (k, m)
        values(x), and their noise.
    x, given : array (k,)
        The variables, and the gradients to check there.
    rtol : float
        If every given gradient agrees to this with the quotient of the first step, no smaller steps
        are tried.

    Returns
    -------
    array (4, k)
        quotient (at a kink the slope nearest to `given`; NaN if no step gives a finite one),
        rounding, doubt, and 1 at a kink.
    """
    name, absolute = x.dtype.name, np.abs(x)
    steps = [FIRST_STEP[name] * np.maximum(1, absolute) / SHRINK[name]**level for level in range(LEVELS)]
    steps += [np.where(absolute < 30 * steps[-1], absolute / part, 0) for part in (30, 500)]
    level, changed = _level(values, base, x, steps[0])
    noise = np.where(changed.any(axis=1), np.where(changed, noise, 0).sum(axis=1), noise.max(axis=1, initial=0))
    quotient, doubt, jump = level[:3]
    rounding = noise / (steps[0] / 2)
    agrees = np.abs(given - quotient) <= rtol * np.abs(quotient) + rounding
    if np.all(agrees & ((jump == 0) | (jump <= 10 * rounding))):
        return np.stack([quotient, rounding, doubt, np.zeros(x.shape)])
    steps = [h for h in steps if h.any()]
    levels = [level, *(_level(values, base, x, h)[0] for h in steps[1:])]
    rounding = noise / (np.stack(steps).astype(np.float64) / 2)
    return _best(*(np.stack(arrays) for arrays in zip(*levels)), rounding, given)


def _best(quotient, doubt, jump, forward, backward, bend, rounding, given):
    """The result of `quotients`, each from its best step; all but `given` are arrays (steps, k)."""
    jump = np.where(jump > 10 * rounding, jump, 0)
    kink = _is_kink(jump, rounding, np.isfinite(quotient))
    # At a kink only the steps that show it count, elsewhere only the steps that show none.
    change = np.abs(np.diff(quotient, axis=0))
    change[~np.isfinite(change)] = np.inf
    none = np.full((1, len(given)), np.inf)
    doubt = doubt + np.minimum(np.concatenate([none, change]), np.concatenate([change, none]))
    doubt = np.where(kink, bend, doubt)
    error = np.where((jump > 0) == kink, doubt + rounding, np.inf)
    error[~np.isfinite(error)] = np.inf
    magnitude = np.where(kink, np.fmax(np.abs(forward), np.abs(backward)), np.abs(quotient))
    relative = np.where(error < np.inf, error / magnitude, np.inf)
    relative[np.isnan(relative)] = 0
    sure = relative.min(axis=0) < 0.1
    best = np.where(sure, relative.argmin(axis=0), error.argmin(axis=0)), np.arange(len(given))
    # Where no step is sure, the quotients of smaller steps might be right, so the doubt includes
    # them; if they grow by more than rounding, the doubt is infinite.
    smaller = (np.arange(len(quotient))[:, None] > best[0]) & np.isfinite(quotient)
    later = np.where(smaller, np.abs(quotient), 0)
    grows = kink | (later > 2 * np.abs(quotient[best]) + 2 * rounding).any(axis=0)
    doubt[best] = np.where(sure, doubt[best], np.where(grows, np.inf, doubt[best] + later.max(axis=0)))
    slopes = forward[best], backward[best]
    nearest = np.clip(given, np.minimum(*slopes), np.maximum(*slopes))
    nearest = np.where(np.isfinite(given), nearest, quotient[best])
    found = np.where(error[best] < np.inf, np.where(kink, nearest, quotient[best]), np.nan)
    return np.stack([found, rounding[best], doubt[best], kink])


def _is_kink(jump, rounding, finite):
    """Whether x is a kink: two neighbouring steps show a similar jump, and all later steps a jump.

    Later steps whose rounding is too large to show the jump are left out.
    """
    similar = (jump[:-1] > 0) & (jump[1:] < 2 * jump[:-1]) & (jump[:-1] < 2 * jump[1:])
    kink = np.zeros(jump.shape[1], bool)
    for level in range(len(jump) - 1):
        later = slice(level + 1, None)
        blind = ~finite[later] | (10 * rounding[later] > jump[level] / 2)
        kink |= similar[level] & ((jump[later] > 0) | blind).all(axis=0)
    return kink


def _level(values, base, x, h):
    """Differences with one step.

    Returns
    -------
    (quotient, doubt, jump, forward, backward, bend) : arrays (k,)
        The jump between the slopes, 0 if it shrinks with h; forward and backward slope at x, and
        how much these change between h and h / 2.
    changed : bool array (k, m)
        Which parts of the values changed.
    """
    changed = np.zeros(base.shape, bool)

    def slope(step):
        moved = (x + step).astype(x.dtype)
        parts = values(moved)
        moves = parts != base
        changed[moves] = True
        return np.where(moves, parts - base, 0).sum(axis=1) / (moved.astype(np.float64) - x)

    forward, backward, half_forward, half_backward = slope(h), slope(-h), slope(h / 2), slope(-h / 2)
    two_sided = np.isfinite(forward + backward + half_forward + half_backward)
    ahead = np.isfinite(forward + half_forward)
    whole = np.where(two_sided, (forward + backward) / 2, np.where(ahead, forward, backward))
    half = np.where(two_sided, (half_forward + half_backward) / 2, np.where(ahead, half_forward, half_backward))
    quotient = half + (half - whole) / np.where(two_sided, 3, 1)
    jump = np.abs(half_forward - half_backward)
    jump = np.where(two_sided & (jump > 0.75 * np.abs(forward - backward)), jump, 0)
    bend = np.abs(half_forward - forward) + np.abs(half_backward - backward)
    forward, backward = 2 * half_forward - forward, 2 * half_backward - backward
    return (quotient, np.abs(quotient - half), jump, forward, backward, bend), changed


def measure_noise(value, point, base, given):
    """The noise of values: how far they are from the exact ones.

    It is measured with steps of a few units in the last place, over which f is a straight line.
    The noise is the largest of these three:

    - 4 eps of the value;
    - the distance of the values from a straight line;
    - the lowest bit that is set in any of the values, because large terms that cancel leave zeros
      at the end of a value.  It is limited to 4 eps of the largest element of `point`, times the
      largest gradient if that is more than 1.
    """
    rng = np.random.default_rng(0)
    eps = 4 * np.finfo(point.dtype).eps
    noise, lowest = eps * np.abs(base), _lowest_bit(base)
    for _ in range(4):
        short = (np.spacing(point) * rng.integers(-8, 9, point.shape)).astype(point.dtype)
        once, twice = value(point + short), value(point + 2 * short)
        bent = np.abs(twice - 2 * once + base)
        noise = np.where(bent < np.inf, np.maximum(noise, bent), noise)
        lowest = np.minimum(lowest, np.minimum(_lowest_bit(once), _lowest_bit(twice)))
    slope = np.abs(given[np.isfinite(given)]).max(initial=1)
    return np.maximum(noise, np.minimum(lowest, eps * np.abs(point).max(initial=0) * slope))


def _lowest_bit(values):
    """The value of the lowest bit that is set: 0.5 for 2.5; inf for 0, NaN and inf."""
    fraction, exponent = np.frexp(np.where(np.isfinite(values), values, 0))
    digits = np.abs(fraction * 2**53).astype(np.int64)
    return np.where(digits > 0, np.ldexp((digits & -digits).astype(np.float64), exponent - 53), np.inf)


def row_mismatch(call, y_true, y_pred, dtype=np.float64):
    """A sentence about the worst wrong entry in the gradient of a custom loss, or None.

    Rows are independent, so one column moves in all rows at once.  The tolerance is wide, 1 % in
    float64 and 10 % in float32, where the loss itself has few correct digits.  An entry that cannot
    be judged, e.g. because the value is not finite, passes.

    Parameters
    ----------
    call : function
        (y_true, y_pred) -> values (rows,), gradient (rows, n).  Its exceptions are not caught.
    y_true : array (rows, ...)
    y_pred : array (rows, n)
        The first 8 rows are checked, and up to 16 columns spread over n.
    dtype : {float32, float64}
        dtype of the y_pred that `call` gets.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast._differences import row_mismatch
    >>> wrong = lambda y, p: ((p - y)[:, 0]**2, p - y)
    >>> row_mismatch(wrong, np.zeros((2, 1)), np.array([[0.], [2.]]))
    'the gradient of row 1, column 0 is 2.0, but central differences give 4.0'
    """
    dtype = np.dtype(dtype)
    y_true, point = np.asarray(y_true)[:ROWS], np.array(y_pred[:ROWS], dtype)
    if point.size == 0:
        return None
    rtol, share = ROW_TOLERANCE[dtype.name]
    columns = np.unique(np.linspace(0, point.shape[1] - 1, COLUMNS).astype(int))

    def value(moved):
        return np.array(call(y_true, moved)[0], np.float64).reshape(len(point))

    with np.errstate(all="ignore"):
        base, gradient = call(y_true, point.copy())
        base, gradient = np.array(base, np.float64).reshape(len(point)), np.array(gradient, np.float64)
        noise = measure_noise(value, point, base, gradient)[:, None]
        found = []
        for column in columns:
            def values(x, column=column):
                moved = point.copy()
                moved[:, column] = x
                return value(moved)[:, None]

            found.append(quotients(values, base[:, None], noise, point[:, column], gradient[:, column], rtol))
        quotient, rounding, doubt, _ = np.stack(found, axis=2)
        given = gradient[:, columns]
        off = np.abs(given - quotient)
        off[~np.isfinite(given)] = np.inf
        magnitude = np.fmax(np.abs(given), np.abs(quotient))
        allowed = rtol * magnitude + share * magnitude[np.isfinite(magnitude)].max(initial=0) + rounding + doubt
        excess = np.where(np.isfinite(quotient) & ((off > allowed) | (off == np.inf)), off, 0)
    row, i = np.unravel_index(excess.argmax(), excess.shape)
    if excess[row, i] == 0:
        return None
    return (f"the gradient of row {row}, column {columns[i]} is {float(f'{given[row, i]:.6g}')}, "
            f"but central differences give {float(f'{quotient[row, i]:.6g}')}")
