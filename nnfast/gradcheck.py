"""gradcheck: is this the gradient of that?

A gradient that is wrong by a factor or a sign still trains, badly.  Here one is compared, number by number, with
differences of the value it belongs to.

    slopes      forward (f(x + h) - f(x)) / h and backward (f(x) - f(x - h)) / h, at h and h / 2
    quotient    their mean C is the central difference; (4 C(h / 2) - C(h)) / 3 cancels its error in h^2 (Richardson)
    steps       begin at 1e-4 max(1, |x|).  A number that does not agree there is tried with smaller ones, down to
                |x| / 500 for a tiny x, and the step counts whose quotient agrees best with that of its neighbours: so
                the log of a probability of 1e-6 is right, and one clipped at 1e-7 is seen as flat.  The gradient given
                has no say in that choice.
    kink        f like |x| or max(x, 0): forward - backward stays as h shrinks, where of a smooth f it shrinks with h.
                Any gradient between the two slopes is right (a subgradient).
    edge        where f is finite on one side only, the slope of that side counts
    doubt       f is known to a few eps |f|, or less well if large numbers cancel in it, which `_noise` measures.  Divided
                by h, and with what neighbouring steps differ by, it says how well a quotient is known, and is added to
                the tolerance.

Where f returns several parts of a sum, parts are subtracted before they are summed: what did not move cancels exactly.
"""
import numpy as np

from nnfast import _validation as check

__all__ = ["GradientReport", "gradcheck"]

WORST = 10                                  # entries in a report
SCALE = 1e-3                                # times rtol times the largest quotient: the default of atol
ROWS, COLUMNS = 8, 16                       # that row_mismatch looks at
# The first step is about eps^(1/5), where the rounding of (4 C(h / 2) - C(h)) / 3 meets its error in h^4; in float64 it is
# smaller, to meet fewer kinks.  LEVELS steps follow, SHRINK times smaller each.
FIRST_STEP = {"float32": 0.03, "float64": 1e-4}
SHRINK = {"float32": 8, "float64": 16}
LEVELS = 6
ROW_TOLERANCE = {"float32": (0.1, 1e-3), "float64": (0.01, 1e-6)}      # of row_mismatch: rtol, and atol / largest number
MOST_DOUBT = 1e-3           # of a number, that gradcheck puts down to differences between steps


def gradcheck(subject, *arrays, sample_weight=None, rtol=1e-6, atol=None, max_entries=1000, seed=0, verbose=True):
    """Compares a gradient with central differences in float64, and prints where and by how much it is off.

    ``gradcheck(loss, y_true, y_pred, sample_weight=None)``
        `loss.gradient` with differences of `loss(...)`; where that returns an array, of its sum.
    ``gradcheck(function, y_true, y_pred, sample_weight=None)``
        A custom loss `function(y_true, y_pred) -> (value of each row, gradient of each row's value)`.
    ``gradcheck(model, x, y, sample_weight=None)``
        The gradient of the loss with respect to all weights.  The work is done on a copy in float64, of a float32 model
        too; the model, built or not, and its optimizer stay as they are.  A few rows of x are enough.
    ``gradcheck((value, gradient), point)``
        Two functions of one array; the gradient has its shape, and a value that is an array is summed.

    A mismatch is not raised: in a test write `assert gradcheck(...)`.

    Parameters
    ----------
    subject : loss, its name, function, compiled `Sequential`, or pair of functions
    y_true, y_pred : array (..., n), of any rank
        Sparse losses take integer labels (...); y_pred is taken to float64.
    sample_weight : array (...), optional
    rtol : float
        A number may be off by rtol * max(abs(given), abs(quotient)) + atol, and by what the quotient is in doubt.
    atol : float, optional
        By default rtol / 1000 times the largest quotient.
    max_entries : int, optional
        1000 by default: of more numbers a sample is checked, spread evenly over the weight arrays of a model.
        None checks all.
    seed : int
        Of the sample.
    verbose : bool
        Prints the report.

    Returns
    -------
    GradientReport
        True if the gradient is right.

    Raises
    ------
    ValueError
        For arrays that do not fit, or a gradient of another shape.

    Examples
    --------
    >>> import nnfast
    >>> from nnfast.gradcheck import gradcheck
    >>> bool(gradcheck("mse", [[1., 0.]], [[2., 3.]], verbose=False))
    True
    >>> def without_factor_2(y_true, y_pred):
    ...     return ((y_pred - y_true)**2).sum(axis=1), y_pred - y_true
    >>> right = gradcheck(without_factor_2, [[1., 0.], [2., 2.]], [[2., 3.], [2., 4.]])
    the gradient is wrong at 3 of 4 numbers checked (of 4)
      place    gradient given   difference quotient   off by
      (0, 1)                3                     6        3
      (1, 1)                2                     4        2
      (0, 0)                1                     2        1
    """
    rtol = check.number(rtol, "rtol", 0)
    atol = atol if atol is None else check.number(atol, "atol", 0)
    max_entries = max_entries if max_entries is None else check.size(max_entries, "max_entries")
    with np.errstate(all="ignore"):
        value, given, point, groups = _form(subject, arrays, sample_weight)
        given = np.asarray(given, np.float64)
        if given.shape != point.shape:
            raise ValueError(f"the gradient must have the shape of what it is taken by, {point.shape}; got {given.shape}.")
        entries = _sample([size for _, size in groups], max_entries or point.size, np.random.default_rng(seed))
        found = _check(value, given.ravel(), point, entries, rtol / 10)
    report = GradientReport(_places(entries, point.shape, groups), *found, rtol, atol, point.size)
    if verbose:
        print(report)
    return report


class GradientReport:
    """What `gradcheck` found: true if the gradient is right; printed, a table of the numbers that are off most.

    Attributes
    ----------
    worst_absolute : float
        Largest abs(given - quotient); inf where one is NaN or infinite, 0 for a subgradient at a kink.
    worst_relative : float
        Largest abs(given - quotient) / (max(abs(given), abs(quotient)) + atol / rtol).
    place : tuple, str or None
        Of the worst number: its index, or for a model such as "layer 0 kernel [3, 5]", layers with weights counted from
        0.  Of those that are wrong, if any is.  None if there was nothing to check.
    n_wrong, n_checked, n_kinks : int
    entries : list of (place, given, quotient, off_by)
        Up to 10, the worst first.

    Examples
    --------
    >>> from nnfast.gradcheck import gradcheck
    >>> report = gradcheck((abs, lambda x: 0.5), 0., verbose=False)
    >>> bool(report), report.n_checked, report.n_kinks
    (True, 1, 1)
    """

    def __init__(self, places, given, quotient, rounding, doubt, kinks, rtol, atol, size):
        finite = np.abs(quotient[np.isfinite(quotient)])
        atol = SCALE * rtol * finite.max(initial=0) if atol is None else atol
        with np.errstate(all="ignore"):
            off = np.abs(given - quotient)
            magnitude = np.fmax(np.abs(given), np.abs(quotient))
            allowed = rtol * magnitude + atol + np.nan_to_num(rounding) + np.fmin(doubt, MOST_DOUBT * magnitude)
            off[~np.isfinite(off)] = np.inf
            relative = np.where(off > 0, off / (magnitude + (atol / rtol if rtol else 0)), 0)
            relative[off == np.inf] = np.inf
            wrong = ~(off <= allowed) | (off == np.inf)
        order = np.lexsort((-off, ~wrong))
        self.n_wrong, self.n_checked, self.n_kinks = int(wrong.sum()), len(given), int(kinks.sum())
        self.worst_absolute, self.worst_relative = float(off.max(initial=0)), float(relative.max(initial=0))
        self.entries = [(places[i], float(given[i]), float(quotient[i]), float(off[i])) for i in order[:WORST]]
        self.place = self.entries[0][0] if self.entries else None
        self._size = size

    def __bool__(self):
        return self.n_wrong == 0

    def __repr__(self):
        counted = f"{self.n_checked} number{'s' * (self.n_checked != 1)} checked (of {self._size})"
        counted += f", {self.n_kinks} at kinks" if self.n_kinks else ""
        if self:
            worst = f"; off by {self.worst_absolute:.1e} at most, relatively {self.worst_relative:.1e}" if self.n_checked else ""
            return f"the gradient is right: {counted}{worst}"
        rows = [("place", "gradient given", "difference quotient", "off by")]
        rows += [(str(place), *(f"{number:.6g}" for number in numbers)) for place, *numbers in self.entries[:self.n_wrong]]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = [f"  {row[0]:<{widths[0]}}" + "".join(f"   {text:>{width}}" for text, width in zip(row[1:], widths[1:])) for row in rows]
        more = [f"  and {self.n_wrong - WORST} more"] if self.n_wrong > WORST else []
        return "\n".join([f"the gradient is wrong at {self.n_wrong} of {counted}", *lines, *more])


def row_mismatch(call, y_true, y_pred, dtype=np.float64):
    """A sentence about the worst wrong number in the gradient of a custom loss, or None.

    Rows are independent, so a column of all of them moves at once.  The tolerance is that of a first look: 1 % in
    float64, 10 % in float32, where the loss itself is known to few digits.  What can not be judged, as a value that is
    not finite, passes.

    Parameters
    ----------
    call : function
        (y_true, y_pred) -> values (rows,), gradient (rows, n).  What it raises is not caught.
    y_true : array (rows, ...)
    y_pred : array (rows, n)
        The first 8 rows, and up to 16 columns spread over n, are looked at.
    dtype : {float32, float64}
        Of the y_pred that `call` gets.

    Examples
    --------
    >>> import numpy as np
    >>> from nnfast.gradcheck import row_mismatch
    >>> row_mismatch(lambda y, p: ((p - y)[:, 0]**2, p - y), np.zeros((2, 1)), np.array([[0.], [2.]]))
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
        noise = _noise(value, point, base, gradient)[:, None]
        found = []
        for column in columns:
            def values(x, column=column):
                moved = point.copy()
                moved[:, column] = x
                return value(moved)[:, None]

            found.append(_quotients(values, base[:, None], noise, point[:, column], gradient[:, column], rtol))
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


# -- what is checked -------------------------------------------------------------------------------------------------

def _form(subject, arrays, sample_weight):
    """value(point) -> parts of a sum, the gradient given, point, and (name, size) of the arrays point consists of."""
    from nnfast import functional, losses, models

    pair = isinstance(subject, (tuple, list)) and len(subject) == 2 and all(map(callable, subject))
    model = isinstance(subject, models.Sequential)
    if not (pair or model or callable(subject) or isinstance(subject, (str, losses.Loss))):
        raise TypeError(f"subject must be a loss, a model or a pair of functions (value, gradient); got {subject!r}.")
    names = "point" if pair else "x, y" if model else "y_true, y_pred"
    if len(arrays) == 3 and not pair and sample_weight is None:
        *arrays, sample_weight = arrays
    if len(arrays) != 2 - pair or (pair and sample_weight is not None):
        raise TypeError(f"gradcheck takes {names}{'' if pair else ' and optionally sample_weight'} after the subject; "
                        f"got {len(arrays)} arrays{' and sample_weight' if sample_weight is not None else ''}.")
    if model:
        return _model_form(subject, *arrays, sample_weight)
    point = check.numeric(arrays[-1], "point" if pair else "y_pred").astype(np.float64)
    groups = [(None, point.size)]
    if pair:
        return subject[0], subject[1](point.copy()), point, groups
    y_true = check.numeric(arrays[0], "y_true")
    if isinstance(subject, type) and issubclass(subject, losses.Loss):
        subject = subject()
    elif isinstance(subject, str) or getattr(functional, getattr(subject, "__name__", ""), None) is subject:
        subject = losses.get(subject)
    if isinstance(subject, losses.Loss):
        given = subject.gradient(y_true, point.copy(), sample_weight)
        return lambda moved: subject(y_true, moved, sample_weight), given, point, groups
    rows = point.shape[:-1]
    weights = np.ones(rows) if sample_weight is None else check.numeric(sample_weight, "sample_weight").astype(np.float64)
    weights = weights[..., 0] if weights.shape == (*rows, 1) else weights
    if weights.shape not in ((), rows):
        raise ValueError(f"sample_weight must have shape {rows}, a number for each row; got {weights.shape}.")

    def value(moved):
        values = np.asarray(subject(y_true, moved)[0])
        if values.shape != rows:
            raise ValueError(f"the values must have shape {rows}, one for each row of y_pred; got {values.shape}.")
        return weights * values

    given = np.asarray(subject(y_true, point.copy())[1])
    return value, weights[..., None] * given if given.shape == point.shape else given, point, groups


def _model_form(model, x, y, sample_weight):
    twin = _twin(model)
    twin._ready(x)
    random = twin._rng.bit_generator.state
    _, gradients = twin.loss_and_gradients(x, y, sample_weight)
    names = [layer._first_weights() for layer in twin._owners]
    labels = [f"layer {i} {name}" for i, known in enumerate(filter(None, names)) for name in known]
    groups = list(zip(labels, [array.shape for array in gradients], strict=True))

    def value(moved):
        twin.params[:] = moved
        twin._rng.bit_generator.state = random          # the same masks of Dropout every time
        try:
            return twin.loss_and_gradients(x, y, sample_weight)[0]
        except FloatingPointError:
            return np.nan

    given = np.concatenate([np.zeros(0), *(array.ravel() for array in gradients)])
    return value, given, np.array(twin.params), [((name, shape), int(np.prod(shape))) for name, shape in groups]


def _twin(model):
    """The model in float64, with the same weights, or if it is not built with the random state it would be built from.

    Not `copy.copy(model)`: that takes over changed settings of the optimizer first, which may drop its state.
    """
    import copy
    import warnings

    from nnfast import optimizers

    with model._claim("gradcheck"):
        state = {name: item for name, item in model.__dict__.items() if name not in ("_network", "_lock", "_pace", "_layout", "_owners")}
        if model._network is not None:
            state["weights"] = model.get_weights()
        state.update(dtype=np.dtype("float64"), layers=copy.deepcopy(model.layers), _rng=copy.deepcopy(model._rng), _metrics=[])
    if state["_loss"] is not None:
        state["optimizer"] = optimizers.SGD()
    twin = type(model).__new__(type(model))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)        # of the compile: the caller has seen it
        twin.__setstate__(state)
    return twin


def _sample(sizes, most, rng):
    """Indices into the concatenated arrays, at most `most`: small arrays whole, the others in equal shares."""
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    chosen, left = [], most
    for done, i in enumerate(np.argsort(sizes, kind="stable")):
        share = min(sizes[i], max(1, left // (len(sizes) - done)) if left else 0)
        chosen.append(starts[i] + rng.choice(sizes[i], int(share), replace=False))
        left -= share
    return np.sort(np.concatenate(chosen)).astype(int)


def _places(entries, shape, groups):
    """Names of entries: their index, or name and index in the array they belong to."""
    if groups[0][0] is None:
        return [tuple(map(int, np.unravel_index(i, shape))) for i in entries]
    starts = np.cumsum([0] + [size for _, size in groups])
    places = []
    for i in entries:
        group = int(np.searchsorted(starts, i, side="right")) - 1
        name, array_shape = groups[group][0]
        places.append(f"{name} {[int(n) for n in np.unravel_index(i - starts[group], array_shape)]}")
    return places


# -- differences -----------------------------------------------------------------------------------------------------

def _check(value, given, point, entries, rtol):
    """given, quotient, rounding, doubt and kink of each entry."""
    def parts(moved):
        return np.array(value(moved), np.float64).ravel()

    base = parts(point.copy())
    noise = _noise(parts, point, base, given)
    found = np.empty((4, len(entries)))
    for n, i in enumerate(entries):
        def values(x, i=i):
            moved = point.copy()
            moved.flat[i] = x[0]
            return parts(moved)[None, :]

        found[:, n:n + 1] = _quotients(values, base[None, :], noise[None, :], point.reshape(-1)[i:i + 1], given[i:i + 1], rtol)
    return given[entries], *found[:3], found[3] == 1


def _noise(value, point, base, given):
    """How well values are known, measured on lines so short, a few units in the last place, that f is straight there.

    The largest of: 4 eps of the value; what it is off the line; and the lowest bit that is ever set in it, but at most
    4 eps of the largest number of point, times the largest gradient if that is more than 1: large numbers that
    cancelled leave zeros at the end of a value.
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
    """The lowest bit that is set in each number: 0.5 of 2.5; inf of 0 and of what is not finite."""
    fraction, exponent = np.frexp(np.where(np.isfinite(values), values, 0))
    digits = np.abs(fraction * 2**53).astype(np.int64)
    return np.where(digits > 0, np.ldexp((digits & -digits).astype(np.float64), exponent - 53), np.inf)


def _quotients(values, base, noise, x, given, rtol):
    """Difference quotients of k functions of one number each.

    Parameters
    ----------
    values : function
        x (k,) -> (k, m), the parts of each function's value.
    base, noise : array (k, m)
        values(x), and how well they are known.
    x, given : array (k,)
        The numbers, and the gradients given there.
    rtol : float
        If all given agree to this with the quotient of the first step, that is good enough.

    Returns
    -------
    array (4, k)
        quotient (at a kink the slope nearest to `given`; NaN if no step gives a finite one), what rounding and what
        other steps say against it, and 1 at a kink.
    """
    name, absolute = x.dtype.name, np.abs(x)
    steps = [FIRST_STEP[name] * np.maximum(1, absolute) / SHRINK[name]**level for level in range(LEVELS)]
    steps += [np.where(absolute < 30 * steps[-1], absolute / part, 0) for part in (30, 500)]
    level, changed = _level(values, base, x, steps[0])
    noise = np.where(changed.any(axis=1), np.where(changed, noise, 0).sum(axis=1), noise.max(axis=1, initial=0))
    quotient, doubt, jump = level[:3]
    rounding = noise / (steps[0] / 2)
    if np.all((np.abs(given - quotient) <= rtol * np.abs(quotient) + rounding) & ((jump == 0) | (jump <= 10 * rounding))):
        return np.stack([quotient, rounding, doubt, np.zeros(x.shape)])
    steps = [h for h in steps if h.any()]
    levels = [level, *(_level(values, base, x, h)[0] for h in steps[1:])]
    quotient, doubt, jump, forward, backward, bend = (np.stack(arrays) for arrays in zip(*levels))
    rounding = noise / (np.stack(steps).astype(np.float64) / 2)
    jump = np.where(jump > 10 * rounding, jump, 0)
    kink = _is_kink(jump, rounding, np.isfinite(quotient))
    # of kinks only the steps that show them count, of others only the steps that show none
    change = np.abs(np.diff(quotient, axis=0))
    change[~np.isfinite(change)] = np.inf
    none = np.full((1, len(x)), np.inf)
    doubt = doubt + np.minimum(np.concatenate([none, change]), np.concatenate([change, none]))
    doubt = np.where(kink, bend, doubt)
    error = np.where((jump > 0) == kink, doubt + rounding, np.inf)
    error[~np.isfinite(error)] = np.inf
    relative = np.where(error < np.inf, error / np.where(kink, np.fmax(np.abs(forward), np.abs(backward)), np.abs(quotient)), np.inf)
    relative[np.isnan(relative)] = 0
    best = np.where(relative.min(axis=0) < 0.1, relative.argmin(axis=0), error.argmin(axis=0)), np.arange(len(x))
    # where no step is good, the quotients of smaller ones might be right, and if they grow beyond rounding anything might
    later = np.where((np.arange(len(steps))[:, None] > best[0]) & np.isfinite(quotient), np.abs(quotient), 0)
    grows = kink | (later > 2 * np.abs(quotient[best]) + 2 * rounding).any(axis=0)
    unsure = ~(relative.min(axis=0) < 0.1)
    doubt[best] = np.where(unsure, np.where(grows, np.inf, doubt[best] + later.max(axis=0)), doubt[best])
    slopes = forward[best], backward[best]
    nearest = np.where(np.isfinite(given), np.clip(given, np.minimum(*slopes), np.maximum(*slopes)), quotient[best])
    found = np.where(error[best] < np.inf, np.where(kink, nearest, quotient[best]), np.nan)
    return np.stack([found, rounding[best], doubt[best], kink])


def _is_kink(jump, rounding, finite):
    """Whether a jump between the slopes is of one size at two steps, and every later step shows it that could."""
    similar = (jump[:-1] > 0) & (jump[1:] < 2 * jump[:-1]) & (jump[:-1] < 2 * jump[1:])
    kink = np.zeros(jump.shape[1], bool)
    for level in range(len(jump) - 1):
        later = slice(level + 1, None)
        blind = ~finite[later] | (10 * rounding[later] > jump[level] / 2)
        kink |= similar[level] & ((jump[later] > 0) | blind).all(axis=0)
    return kink


def _level(values, base, x, h):
    """What differences with one step say, and which parts of values (k, m) changed.

    The first: quotient, doubt, jump between the slopes (0 if it shrinks with h), forward and backward slope at x, and
    what these change by between h and h / 2.
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
    return (quotient, np.abs(quotient - half), jump, 2 * half_forward - forward, 2 * half_backward - backward, bend), changed
