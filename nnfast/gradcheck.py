"""gradcheck: compares a gradient with difference quotients of its value, entry by entry.

A gradient that is wrong by a factor or a sign still trains, but badly, and nothing else says so.

`_differences.py` takes the differences and estimates how accurate each one is.  Here are the
subjects that can be checked, the choice of entries, and the report.
"""
from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nnfast import _differences, _validation as check, functional, losses

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from numpy.typing import ArrayLike

    from nnfast.models import Sequential

    _Subject: TypeAlias = (str | losses.Loss | type[losses.Loss] | Callable[..., Any] | Sequential
                           | tuple[Callable[..., Any], Callable[..., Any]])
    _Place: TypeAlias = tuple[int, ...] | str

__all__ = ["GradientReport", "gradcheck"]

WORST = 10                  # entries in a report
ATOL_SHARE = 1e-3           # the default of atol is this times rtol times the largest quotient
MOST_DOUBT = 1e-3           # largest doubt that is added to the tolerance, relative to the entry


def gradcheck(subject: _Subject, *arrays: ArrayLike, sample_weight: ArrayLike | None = None, rtol: float = 1e-6,
              atol: float | None = None, max_entries: int | None = 1000, seed: int = 0,
              verbose: bool = True) -> GradientReport:
    """Compares a gradient with central differences in float64, and prints where it is wrong.

    ``gradcheck(loss, y_true, y_pred, sample_weight=None)``
        Compares `loss.gradient` with differences of `loss(...)`; an array of losses is summed.
    ``gradcheck(function, y_true, y_pred, sample_weight=None)``
        Checks a custom loss `function(y_true, y_pred) -> (value of each row, gradient of each row's
        value)`.
    ``gradcheck(model, x, y, sample_weight=None)``
        Checks the gradient of the loss with respect to all weights.  It works on a copy in
        float64: the model, built or not, and its optimizer do not change.  A few rows of x are
        enough.
    ``gradcheck((value, gradient), point)``
        Checks two functions of one array.  The gradient has the shape of the array; a value that is
        an array is summed.

    A mismatch raises nothing: write `assert gradcheck(...)` in a test.

    Parameters
    ----------
    subject : loss, its name, function, compiled `Sequential`, or pair of functions
    y_true, y_pred : array (..., n), of any rank
        Sparse losses take integer labels (...); y_pred is converted to float64.
    sample_weight : array (...), optional
    rtol : float
        An entry may be off by rtol * max(abs(given), abs(quotient)) + atol, plus the uncertainty of
        the quotient.
    atol : float, optional
        By default rtol / 1000 times the largest quotient.
    max_entries : int, optional
        Most entries to check, 1000 by default.  A larger gradient is sampled, evenly over the
        weight arrays of a model.  None checks all entries.
    seed : int
        Seed of the sample.
    verbose : bool
        Whether to print the report.

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
    the gradient is wrong at 3 of 4 entries checked (of 4)
      place    gradient given   difference quotient   off by
      (0, 1)                3                     6        3
      (1, 1)                2                     4        2
      (0, 0)                1                     2        1
    """
    rtol = check.number(rtol, "rtol", 0)
    atol = atol if atol is None else check.number(atol, "atol", 0)
    max_entries = max_entries if max_entries is None else check.size(max_entries, "max_entries")
    with np.errstate(all="ignore"):
        value, given, point, groups = _problem(subject, arrays, sample_weight)
        given = np.asarray(given, np.float64)
        if given.shape != point.shape:
            raise ValueError(f"the gradient must have the shape of its variables, {point.shape}; got {given.shape}.")
        sizes = [math.prod(shape) for _, shape in groups]
        entries = _sample(sizes, max_entries or point.size, np.random.default_rng(seed))
        given, quotient, rounding, doubt, kinks = _differences_at(entries, value, given.ravel(), point, rtol / 10)
    places = _places(entries, groups)
    report = GradientReport(places, given, quotient, rounding, doubt, kinks, rtol, atol, point.size)
    if verbose:
        print(report)
    return report


class GradientReport:
    """The result of `gradcheck`: true if the gradient is right; it prints the worst entries.

    Attributes
    ----------
    worst_absolute : float
        Largest abs(given - quotient); inf where either is NaN or infinite, 0 for a subgradient at a
        kink.
    worst_relative : float
        Largest abs(given - quotient) / (max(abs(given), abs(quotient)) + atol / rtol).
    place : tuple, str or None
        Index of the worst entry, among the wrong ones if there are any.  For a model it is a text
        such as "layer 0 kernel [3, 5]"; layers with weights are counted from 0.  None if no entry
        was checked.
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

    worst_absolute: float
    worst_relative: float
    place: _Place | None
    n_wrong: int
    n_checked: int
    n_kinks: int
    entries: list[tuple[_Place, float, float, float]]

    def __init__(self, places: Any, given: Any, quotient: Any, rounding: Any, doubt: Any, kinks: Any, rtol: float,
                 atol: float | None, size: int) -> None:
        finite = np.abs(quotient[np.isfinite(quotient)])
        atol = ATOL_SHARE * rtol * finite.max(initial=0) if atol is None else atol
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

    def __bool__(self) -> bool:
        return self.n_wrong == 0

    def __repr__(self):
        counted = f"{self.n_checked} entr{'y' if self.n_checked == 1 else 'ies'} checked (of {self._size})"
        counted += f", {self.n_kinks} at kinks" if self.n_kinks else ""
        if self:
            worst = f"; off by {self.worst_absolute:.1e} at most, relatively {self.worst_relative:.1e}"
            return f"the gradient is right: {counted}{worst if self.n_checked else ''}"
        rows = [("place", "gradient given", "difference quotient", "off by")]
        rows += [(str(place), *(f"{number:.6g}" for number in numbers))
                 for place, *numbers in self.entries[:self.n_wrong]]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = [f"  {row[0]:<{widths[0]}}" + "".join(f"   {text:>{width}}" for text, width in zip(row[1:], widths[1:]))
                 for row in rows]
        more = [f"  and {self.n_wrong - WORST} more"] if self.n_wrong > WORST else []
        return "\n".join([f"the gradient is wrong at {self.n_wrong} of {counted}", *lines, *more])


# -- what is checked -------------------------------------------------------------------------------

def _problem(subject, arrays, sample_weight):
    """The arguments of `gradcheck` in one form, whatever the subject.

    Returns
    -------
    value : function
        point -> the value, or an array of parts whose sum is the value.
    given : array
        The gradient to check.
    point : float64 array
        Where the gradient was taken.
    groups : list of (name, shape)
        The arrays that `point` concatenates; the name of a single array is None.
    """
    pair = isinstance(subject, (tuple, list)) and len(subject) == 2 and all(map(callable, subject))
    model = hasattr(subject, "_loss_of_params")
    if not (pair or model or callable(subject) or isinstance(subject, (str, losses.Loss))):
        raise TypeError(f"subject must be a loss, a model or a pair of functions (value, gradient); got {subject!r}.")
    names = "point" if pair else "x, y" if model else "y_true, y_pred"
    if len(arrays) == 3 and not pair and sample_weight is None:
        *arrays, sample_weight = arrays
    if len(arrays) != 2 - pair or (pair and sample_weight is not None):
        raise TypeError(f"gradcheck takes {names}{'' if pair else ' and optionally sample_weight'} after the subject; "
                        f"got {len(arrays)} arrays{' and sample_weight' if sample_weight is not None else ''}.")
    if model:
        return subject._loss_of_params(*arrays, sample_weight)
    point = check.numeric(arrays[-1], "point" if pair else "y_pred").astype(np.float64)
    groups = [(None, point.shape)]
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
    return *_weighted(subject, y_true, point, sample_weight), point, groups


def _weighted(function, y_true, point, sample_weight):
    """value and gradient, as in `_problem`, of a custom loss whose rows have weights."""
    rows = point.shape[:-1]
    weights = np.ones(rows)
    if sample_weight is not None:
        weights = check.numeric(sample_weight, "sample_weight").astype(np.float64)
    weights = weights[..., 0] if weights.shape == (*rows, 1) else weights
    if weights.shape not in ((), rows):
        raise ValueError(f"sample_weight must have shape {rows}, a number for each row; got {weights.shape}.")

    def value(moved):
        values = np.asarray(function(y_true, moved)[0])
        if values.shape != rows:
            raise ValueError(f"the values must have shape {rows}, one for each row of y_pred; got {values.shape}.")
        return weights * values

    given = np.asarray(function(y_true, point.copy())[1])
    return value, weights[..., None] * given if given.shape == point.shape else given


def _sample(sizes, most, rng):
    """At most `most` indices into the concatenated arrays.

    Small arrays are taken whole; the larger ones get equal shares of the rest.
    """
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    chosen, left = [], most
    for done, i in enumerate(np.argsort(sizes, kind="stable")):
        share = min(sizes[i], max(1, left // (len(sizes) - done)) if left else 0)
        chosen.append(starts[i] + rng.choice(sizes[i], int(share), replace=False))
        left -= share
    return np.sort(np.concatenate(chosen)).astype(int)


def _places(entries, groups):
    """The place of each entry: its index, after the name of its array if that has one."""
    starts = np.cumsum([0] + [math.prod(shape) for _, shape in groups])
    places = []
    for i in entries:
        group = int(np.searchsorted(starts, i, side="right")) - 1
        name, shape = groups[group]
        index = tuple(map(int, np.unravel_index(i - starts[group], shape)))
        places.append(index if name is None else f"{name} {list(index)}")
    return places


# -- differences -----------------------------------------------------------------------------------

def _differences_at(entries, value, given, point, rtol):
    """For each entry: the gradient given, quotient, rounding, doubt, and whether it is a kink."""
    def parts(moved):
        return np.array(value(moved), np.float64).ravel()

    base = parts(point.copy())
    noise = _differences.measure_noise(parts, point, base, given)
    found = np.empty((4, len(entries)))
    for n, i in enumerate(entries):
        def values(x, i=i):
            moved = point.copy()
            moved.flat[i] = x[0]
            return parts(moved)[None, :]

        found[:, n:n + 1] = _differences.quotients(values, base[None, :], noise[None, :],
                                                   point.reshape(-1)[i:i + 1], given[i:i + 1], rtol)
    return given[entries], *found[:3], found[3] == 1

