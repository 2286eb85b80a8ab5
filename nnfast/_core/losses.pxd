# cython: cdivision=True
"""Losses: the value of every row, and d value / d prediction of every row.

A loss takes `rows` rows of targets and predictions.  It writes a value per row in double and, where
`delta` is not NULL, the gradient of that value.  The caller applies means over rows and weights.

    y      (rows, n) targets, `y_row` apart; sparse losses take `labels` (rows,), and ignore a row
           whose label is below 0
    p      (rows, n) predictions; rows lie `row` elements apart, all of which may be read
    delta  (rows, n) gradient, laid out as p; elements between the rows may be written
    value  (rows,)

Two kinds of kernels:

    elementwise    value[i] and slope[i] = scale d value[i] / d p[i] from y[i] and p[i], in one flat
                   loop over registers, whatever the shape; `number_rows` adds up the terms of each
                   row in double and divides by n
    by row         categorical cross-entropies, similarities, overlaps: one row at a time
                   (`one_row`), or blocks of rows (`softmax_crossentropy`)

Cross-entropies come in two forms.  One takes probabilities, clipped to [EPSILON, 1 - EPSILON] in
their own dtype as in Keras; the gradient is 0 where the clip acts.  The other, `_logits`, takes the
logits and shares one exp between value and gradient.  Training uses the second where the last
activation matches the loss.

Poisson, gamma, Tweedie and Gaussian losses leave out terms that do not depend on p.  The targets
that a loss allows are in its class in nnfast/losses.py (`_allowed`); `forward.gather_targets`
checks them.

The lines that a new one needs are in CONTRIBUTING.md, "A new kind".
"""
from cython cimport floating
from libc.stdint cimport int64_t
from nnfast._core.mathf cimport (
    multiply_add, exp, expm1, log, log1p, log1p_unit, sqrt, fabs, copysign, sum_row, max_row, sum_wide, dot_wide,
    INFINITY)

cdef enum LossKind:
    MEAN_SQUARED_ERROR
    MEAN_ABSOLUTE_ERROR
    MEAN_ABSOLUTE_PERCENTAGE_ERROR
    MEAN_SQUARED_LOGARITHMIC_ERROR
    HUBER
    LOG_COSH
    QUANTILE
    EXPECTILE
    KL_DIVERGENCE
    POISSON
    POISSON_LOG
    GAMMA
    TWEEDIE
    HINGE
    SQUARED_HINGE
    BINARY_CROSSENTROPY
    BINARY_CROSSENTROPY_LOGITS
    BINARY_FOCAL_CROSSENTROPY
    BINARY_FOCAL_CROSSENTROPY_LOGITS
    GAUSSIAN_NLL
    COSINE_SIMILARITY
    CATEGORICAL_HINGE
    CATEGORICAL_CROSSENTROPY
    CATEGORICAL_CROSSENTROPY_LOGITS
    CATEGORICAL_FOCAL_CROSSENTROPY
    CATEGORICAL_FOCAL_CROSSENTROPY_LOGITS
    SPARSE_CATEGORICAL_CROSSENTROPY
    SPARSE_CATEGORICAL_CROSSENTROPY_LOGITS
    TVERSKY
    C_FUNCTION                          # the user's compiled function
    PYTHON_FUNCTION                     # the user's Python function; training calls it with whole batches
    N_LOSSES


cdef inline dict loss_codes():
    """Losses by their names in Keras; the form for logits has `_logits` added."""
    return {
        "mean_squared_error": MEAN_SQUARED_ERROR, "mean_absolute_error": MEAN_ABSOLUTE_ERROR,
        "mean_absolute_percentage_error": MEAN_ABSOLUTE_PERCENTAGE_ERROR,
        "mean_squared_logarithmic_error": MEAN_SQUARED_LOGARITHMIC_ERROR, "huber": HUBER,
        "log_cosh": LOG_COSH, "quantile": QUANTILE, "expectile": EXPECTILE, "kl_divergence": KL_DIVERGENCE,
        "poisson": POISSON, "poisson_log": POISSON_LOG, "gamma": GAMMA, "tweedie": TWEEDIE, "hinge": HINGE,
        "squared_hinge": SQUARED_HINGE, "binary_crossentropy": BINARY_CROSSENTROPY,
        "binary_crossentropy_logits": BINARY_CROSSENTROPY_LOGITS,
        "binary_focal_crossentropy": BINARY_FOCAL_CROSSENTROPY,
        "binary_focal_crossentropy_logits": BINARY_FOCAL_CROSSENTROPY_LOGITS, "gaussian_nll": GAUSSIAN_NLL,
        "cosine_similarity": COSINE_SIMILARITY, "categorical_hinge": CATEGORICAL_HINGE,
        "categorical_crossentropy": CATEGORICAL_CROSSENTROPY,
        "categorical_crossentropy_logits": CATEGORICAL_CROSSENTROPY_LOGITS,
        "categorical_focal_crossentropy": CATEGORICAL_FOCAL_CROSSENTROPY,
        "categorical_focal_crossentropy_logits": CATEGORICAL_FOCAL_CROSSENTROPY_LOGITS,
        "sparse_categorical_crossentropy": SPARSE_CATEGORICAL_CROSSENTROPY,
        "sparse_categorical_crossentropy_logits": SPARSE_CATEGORICAL_CROSSENTROPY_LOGITS, "tversky": TVERSKY,
    }


cdef inline dict custom_loss_codes():
    """Losses that the user defines."""
    return {"c": C_FUNCTION, "python": PYTHON_FUNCTION}


cdef enum:
    N_SETTINGS = 4          # settings of a loss, at most; further options are one per column
    CHUNK = 512             # elements whose terms are computed in one loop; another value gives other bits

cdef inline double ceiling(const double* options) noexcept nogil:
    """The largest value of a cross-entropy of logits: its third setting; no limit if that is 0."""
    return options[2] if options[2] > 0 else INFINITY


cdef extern from *:
    const double EPSILON "1e-7"   # Keras' epsilon(): probabilities are clipped to [1e-7, 1 - 1e-7]

ctypedef double (*f64_loss)(const double*, const double*, double*, Py_ssize_t, void*) noexcept nogil
ctypedef float (*f32_loss)(const float*, const float*, float*, Py_ssize_t, void*) noexcept nogil


cdef struct Loss:
    int kind
    const double* options       # N_SETTINGS settings, then one option for each column if `by_column`
    bint by_column
    bint summed                 # elementwise losses: the value of a row is the sum of its terms, not their mean
    void* function              # f64_loss or f32_loss of C_FUNCTION
    void* user_data


cdef inline bint is_elementwise(int kind) noexcept nogil:
    """Whether the value of a row is the mean of terms, one for each element."""
    return kind < GAUSSIAN_NLL          # the order of LossKind: one comparison


cdef inline bint needs_columns(int kind) noexcept nogil:
    """Whether a loss needs an option for each column of the predictions."""
    return kind == QUANTILE or kind == CATEGORICAL_FOCAL_CROSSENTROPY or kind == CATEGORICAL_FOCAL_CROSSENTROPY_LOGITS


cdef inline bint is_sparse(int kind) noexcept nogil:
    """Whether the targets are labels: one class number for each row."""
    return kind == SPARSE_CATEGORICAL_CROSSENTROPY or kind == SPARSE_CATEGORICAL_CROSSENTROPY_LOGITS


cdef inline Py_ssize_t target_columns(int kind, Py_ssize_t n) noexcept nogil:
    """Columns of y for n columns of p."""
    return n // 2 if kind == GAUSSIAN_NLL else n


# -- elementwise -----------------------------------------------------------------------------------


cdef inline void mean_squared_error(const floating* y, const floating* p, floating* value, floating* slope,
                                    Py_ssize_t size, floating scale) noexcept nogil:
    """value <- (p - y)^2; slope <- 2 (p - y)."""
    cdef Py_ssize_t i
    cdef floating error
    for i in range(size):
        error = p[i] - y[i]
        value[i] = error * error
        slope[i] = (error + error) * scale


cdef inline void mean_absolute_error(const floating* y, const floating* p, floating* value, floating* slope,
                                     Py_ssize_t size, floating scale) noexcept nogil:
    """value <- |p - y|; slope <- sign(p - y), and 0 where p = y."""
    cdef Py_ssize_t i
    cdef floating error
    for i in range(size):
        error = p[i] - y[i]
        value[i] = fabs(error)
        slope[i] = copysign(scale, error) if error != 0 else <floating>0


cdef inline void mean_absolute_percentage_error(const floating* y, const floating* p, floating* value, floating* slope,
                                                Py_ssize_t size, floating scale) noexcept nogil:
    """value <- 100 |p - y| / max(|y|, EPSILON); slope <- 100 sign(p - y) / max(|y|, EPSILON)."""
    cdef Py_ssize_t i
    cdef floating error, truth, least = EPSILON
    for i in range(size):
        error = p[i] - y[i]
        truth = fabs(y[i])
        truth = <floating>100 / (truth if truth > least else least)
        value[i] = fabs(error) * truth
        slope[i] = copysign(truth * scale, error) if error != 0 else <floating>0


cdef inline void mean_squared_logarithmic_error(const floating* y, const floating* p, floating* value, floating* slope,
                                                Py_ssize_t size, floating scale) noexcept nogil:
    """value <- (log(1 + max(p, EPSILON)) - log(1 + max(y, EPSILON)))^2; slope 0 below EPSILON."""
    cdef Py_ssize_t i
    cdef floating error, truth, prediction, least = EPSILON
    for i in range(size):
        truth = least if y[i] < least else y[i]
        prediction = least if p[i] < least else p[i]
        error = log1p(prediction) - log1p(truth)
        value[i] = error * error
        slope[i] = (error + error) * scale / (prediction + <floating>1)
        slope[i] = <floating>0 if p[i] <= least else slope[i]


cdef inline void huber(const floating* y, const floating* p, floating* value, floating* slope, Py_ssize_t size,
                       floating scale, const double* options) noexcept nogil:
    """value <- c (e^2 / 2 where |e| <= d, else d |e| - d^2 / 2), with e = p - y;
    slope <- c e clipped to [-d, d].
    """
    cdef Py_ssize_t i
    cdef floating error, inside, bound = options[0], factor = options[1]
    scale = scale * factor
    for i in range(size):
        error = p[i] - y[i]
        inside = fabs(error)
        inside = inside if inside < bound else bound
        value[i] = factor * inside * (fabs(error) - <floating>0.5 * inside)
        slope[i] = copysign(inside * scale, error)


cdef inline void log_cosh(const floating* y, const floating* p, floating* value, floating* slope,
                          Py_ssize_t size, floating scale) noexcept nogil:
    """value <- log(cosh(e)), slope <- tanh(e), with e = p - y.

    Computed from t = exp(-|e|) and s = 1 - t, without cancellation.
    """
    cdef Py_ssize_t i
    cdef floating error, s, t, square
    cdef floating log_2 = 0.6931471805599453
    for i in range(size):
        error = fabs(p[i] - y[i])
        s = -expm1(-error)
        t = exp(-error)
        square = t * t
        value[i] = log1p_unit(s * s / (t + t) if error < 1 else square) + (<floating>0 if error < 1 else error - log_2)
        slope[i] = copysign(s * (<floating>1 + t) * scale / (<floating>1 + square), p[i] - y[i])


cdef inline void quantile(const floating* y, const floating* p, floating* value, floating* slope, Py_ssize_t size,
                          floating scale, const floating* q) noexcept nogil:
    """value <- q e where e = y - p >= 0, else (q - 1) e; slope 0 where y = p."""
    cdef Py_ssize_t i
    cdef floating error, above
    for i in range(size):
        error = y[i] - p[i]
        above = <floating>1 if error < 0 else <floating>0
        value[i] = error * (q[i] - above)
        slope[i] = (above - q[i]) * scale if error != 0 else <floating>0


cdef inline void expectile(const floating* y, const floating* p, floating* value, floating* slope, Py_ssize_t size,
                           floating scale, const double* options) noexcept nogil:
    """value <- q e^2 where e = y - p >= 0, else (1 - q) e^2; slope <- -2 q e or -2 (1 - q) e."""
    cdef Py_ssize_t i
    cdef floating error, weighted, q = options[0]
    for i in range(size):
        error = y[i] - p[i]
        weighted = error * (q if error >= 0 else <floating>1 - q)
        value[i] = weighted * error
        slope[i] = -(weighted + weighted) * scale


cdef inline floating clip(floating p, floating low, floating high) noexcept nogil:
    p = low if p < low else p
    return high if p > high else p


cdef inline void kl_divergence(const floating* y, const floating* p, floating* value, floating* slope,
                               Py_ssize_t size, floating scale) noexcept nogil:
    """value <- t log(t / q), with t and q = y and p clipped to [EPSILON, 1].

    slope <- -t / q where p is inside of that range, 0 outside.  At an end, e.g. p = 1, the slope is
    the mean of both sides, as in a central difference and in JAX.
    """
    cdef Py_ssize_t i
    cdef floating truth, prediction, ratio, inside, low = EPSILON
    for i in range(size):
        truth = clip(y[i], low, <floating>1)
        prediction = clip(p[i], low, <floating>1)
        ratio = truth / prediction
        value[i] = truth * log(ratio)
        inside = <floating>0.5 if p[i] >= low else <floating>0
        inside = inside + <floating>0.5 if p[i] > low else inside
        inside = inside - <floating>0.5 if p[i] >= 1 else inside
        inside = <floating>0 if p[i] > 1 else inside
        slope[i] = -ratio * scale * inside


cdef inline void poisson(const floating* y, const floating* p, floating* value, floating* slope,
                         Py_ssize_t size, floating scale) noexcept nogil:
    """value <- p - y log(p + EPSILON); slope <- 1 - y / (p + EPSILON)."""
    cdef Py_ssize_t i
    cdef floating rate, least = EPSILON
    for i in range(size):
        rate = p[i] + least
        value[i] = p[i] - y[i] * log(rate)
        slope[i] = scale - y[i] * scale / rate


cdef inline void poisson_log(const floating* y, const floating* p, floating* value, floating* slope,
                             Py_ssize_t size, floating scale) noexcept nogil:
    """value <- exp(p) - y p; slope <- exp(p) - y."""
    cdef Py_ssize_t i
    cdef floating rate
    for i in range(size):
        rate = exp(p[i])
        value[i] = rate - y[i] * p[i]
        slope[i] = (rate - y[i]) * scale


cdef inline void gamma(const floating* y, const floating* p, floating* value, floating* slope,
                       Py_ssize_t size, floating scale) noexcept nogil:
    """value <- p + y exp(-p); slope <- 1 - y exp(-p).

    Without terms of y alone, half the deviance of a gamma distribution with mean exp(p).
    """
    cdef Py_ssize_t i
    cdef floating ratio
    for i in range(size):
        ratio = y[i] * exp(-p[i])
        value[i] = p[i] + ratio
        slope[i] = scale - ratio * scale


cdef inline void tweedie(const floating* y, const floating* p, floating* value, floating* slope, Py_ssize_t size,
                         floating scale, const double* options) noexcept nogil:
    """value <- m^(2-k) / (2-k) - y m^(1-k) / (1-k), m = exp(p), k not 1 or 2;
    slope <- m^(2-k) - y m^(1-k).

    Without terms of y alone, half the deviance of a Tweedie distribution with mean m and power k.
    With k = 0 the term y^2 / 2 is included: it is half the squared error of m.
    """
    cdef Py_ssize_t i
    cdef floating a = 2 - options[0], b = 1 - options[0], per_a = 1 / (2 - options[0]), per_b = 1 / (1 - options[0])
    cdef floating square = 0.5 if options[0] == 0 else 0, first, second
    for i in range(size):
        first = exp(a * p[i])
        second = y[i] * exp(b * p[i])
        value[i] = multiply_add(square * y[i], y[i], multiply_add(first, per_a, -(second * per_b)))
        slope[i] = (first - second) * scale


cdef inline void hinge(const floating* y, const floating* p, floating* value, floating* slope,
                       Py_ssize_t size, floating scale) noexcept nogil:
    """value <- max(0, 1 - y p); slope <- -y where that is positive, else 0."""
    cdef Py_ssize_t i
    cdef floating margin
    for i in range(size):
        margin = <floating>1 - y[i] * p[i]
        value[i] = <floating>0 if margin <= 0 else margin           # NaN stays NaN
        slope[i] = <floating>0 if margin <= 0 else -y[i] * scale


cdef inline void squared_hinge(const floating* y, const floating* p, floating* value, floating* slope,
                               Py_ssize_t size, floating scale) noexcept nogil:
    """value <- max(0, 1 - y p)^2; slope <- -2 y max(0, 1 - y p)."""
    cdef Py_ssize_t i
    cdef floating margin
    for i in range(size):
        margin = <floating>1 - y[i] * p[i]
        margin = <floating>0 if margin <= 0 else margin
        value[i] = margin * margin
        slope[i] = -(y[i] + y[i]) * margin * scale


cdef inline void binary_crossentropy(const floating* y, const floating* p, floating* value, floating* slope,
                                     Py_ssize_t size, floating scale, const double* options,
                                     const floating* weight) noexcept nogil:
    """value <- -(w t log q + (1 - t) log(1 - q)), t = k y + o, q = p clipped;
    slope <- ((1 - t) q - w t (1 - q)) / (q (1 - q)).

    k and o smooth the labels.
    """
    cdef Py_ssize_t i
    cdef floating keep = options[0], offset = options[1], low = EPSILON, high = <floating>1 - low
    cdef floating truth, positive, q, inner
    for i in range(size):
        truth = y[i] * keep + offset
        positive = truth * weight[i]
        q = clip(p[i], low, high)
        value[i] = multiply_add(-positive, log(q), -((<floating>1 - truth) * log(<floating>1 - q)))
        inner = multiply_add(<floating>1 - truth, q, -positive * (<floating>1 - q)) * scale / (q * (<floating>1 - q))
        slope[i] = inner if q == p[i] else <floating>0


cdef inline void binary_crossentropy_logits(const floating* y, const floating* z, floating* value, floating* slope,
                                            Py_ssize_t size, floating scale, const double* options,
                                            const floating* weight) noexcept nogil:
    """value <- w t softplus(-z) + (1 - t) softplus(z), at most `ceiling`;
    slope <- (1 - t) sigmoid(z) - w t sigmoid(-z), with t = k y + o.
    """
    cdef Py_ssize_t i
    cdef floating keep = options[0], offset = options[1], bound = ceiling(options)
    cdef floating truth, positive, e, rest, per_sum
    for i in range(size):
        truth = y[i] * keep + offset
        positive = truth * weight[i]
        e = exp(-fabs(z[i]))
        rest = log1p_unit(e)
        per_sum = <floating>1 / (<floating>1 + e)
        value[i] = multiply_add(positive, rest + (<floating>0 if z[i] > 0 else -z[i]),
                                (<floating>1 - truth) * (rest + (z[i] if z[i] > 0 else <floating>0)))
        value[i] = bound if value[i] > bound else value[i]          # NaN stays NaN
        slope[i] = per_sum * scale * multiply_add(<floating>1 - truth, <floating>1 if z[i] > 0 else e,
                                                  -positive * (e if z[i] > 0 else <floating>1))


cdef inline floating to_the(floating base, floating exponent) noexcept nogil:
    """base^exponent for base in (0, 1]."""
    return exp(exponent * log(base))


cdef inline void binary_focal_crossentropy(const floating* y, const floating* p, floating* value, floating* slope,
                                           Py_ssize_t size, floating scale, const double* options,
                                           bint from_logits) noexcept nogil:
    """value <- balance * miss^exponent * b, with the binary cross-entropy b of t and q.

    miss = t (1 - q) + (1 - t) q; balance = t alpha + (1 - t) (1 - alpha), or 1 if alpha < 0.  The
    first loop writes q to slope and 1 - q to value; from logits 1 - q is sigmoid(-z), without
    cancellation.  Where miss is 0 and the exponent below 1, the slope of the power is infinite;
    here it is 0.
    """
    cdef Py_ssize_t i
    cdef floating keep = options[0], offset = options[1], exponent = options[2], alpha = options[3]
    cdef floating low = EPSILON, high = <floating>1 - low, least = 1e-30, per_logit = 1 if from_logits else 0
    cdef floating at_zero = 0 if options[2] < 1 else 1
    cdef floating truth, q, rest, e, clipped, clipped_rest, loss, inner, miss, factor, power, balance
    if from_logits:
        for i in range(size):
            e = exp(-fabs(p[i]))
            rest = <floating>1 / (<floating>1 + e)
            slope[i] = rest * (<floating>1 if p[i] > 0 else e)
            value[i] = rest * (e if p[i] > 0 else <floating>1)
    else:
        for i in range(size):
            slope[i] = p[i]
            value[i] = <floating>1 - p[i]
    for i in range(size):
        truth = y[i] * keep + offset
        q = slope[i]
        rest = value[i]
        clipped = clip(q, low, high)
        clipped_rest = clip(rest, <floating>1 - high, <floating>1 - low)
        loss = multiply_add(-truth, log(clipped), -((<floating>1 - truth) * log(clipped_rest)))
        inner = (<floating>1 - truth) / clipped_rest - truth / clipped
        inner = inner if clipped == q else <floating>0
        miss = multiply_add(truth, rest, (<floating>1 - truth) * q)
        miss = least if miss < least else miss
        factor = to_the(miss, exponent)
        power = exponent * factor / miss * (<floating>1 - truth - truth) * loss
        power = power * at_zero if miss == least else power
        balance = multiply_add(truth, alpha, (<floating>1 - truth) * (<floating>1 - alpha))
        balance = <floating>1 if alpha < 0 else balance
        value[i] = balance * factor * loss
        slope[i] = (balance * scale * multiply_add(factor, inner, power)
                    * multiply_add(per_logit, q * rest, <floating>1 - per_logit))


cdef inline void number_terms(const Loss* loss, const floating* y, const floating* p, floating* value, floating* slope,
                              Py_ssize_t size, floating scale, const floating* column) noexcept nogil:
    """value <- the terms, slope <- `scale` times their derivatives, with the kernel of the loss.

    column[i] is the option of the column of element i.
    """
    cdef const double* options = loss.options
    if loss.kind == MEAN_SQUARED_ERROR:
        mean_squared_error(y, p, value, slope, size, scale)
    elif loss.kind == MEAN_ABSOLUTE_ERROR:
        mean_absolute_error(y, p, value, slope, size, scale)
    elif loss.kind == MEAN_ABSOLUTE_PERCENTAGE_ERROR:
        mean_absolute_percentage_error(y, p, value, slope, size, scale)
    elif loss.kind == MEAN_SQUARED_LOGARITHMIC_ERROR:
        mean_squared_logarithmic_error(y, p, value, slope, size, scale)
    elif loss.kind == HUBER:
        huber(y, p, value, slope, size, scale, options)
    elif loss.kind == LOG_COSH:
        log_cosh(y, p, value, slope, size, scale)
    elif loss.kind == QUANTILE:
        quantile(y, p, value, slope, size, scale, column)
    elif loss.kind == EXPECTILE:
        expectile(y, p, value, slope, size, scale, options)
    elif loss.kind == KL_DIVERGENCE:
        kl_divergence(y, p, value, slope, size, scale)
    elif loss.kind == POISSON:
        poisson(y, p, value, slope, size, scale)
    elif loss.kind == POISSON_LOG:
        poisson_log(y, p, value, slope, size, scale)
    elif loss.kind == GAMMA:
        gamma(y, p, value, slope, size, scale)
    elif loss.kind == TWEEDIE:
        tweedie(y, p, value, slope, size, scale, options)
    elif loss.kind == HINGE:
        hinge(y, p, value, slope, size, scale)
    elif loss.kind == SQUARED_HINGE:
        squared_hinge(y, p, value, slope, size, scale)
    elif loss.kind == BINARY_CROSSENTROPY:
        binary_crossentropy(y, p, value, slope, size, scale, options, column)
    elif loss.kind == BINARY_CROSSENTROPY_LOGITS:
        binary_crossentropy_logits(y, p, value, slope, size, scale, options, column)
    elif loss.kind == BINARY_FOCAL_CROSSENTROPY:
        binary_focal_crossentropy(y, p, value, slope, size, scale, options, False)
    elif loss.kind == BINARY_FOCAL_CROSSENTROPY_LOGITS:
        binary_focal_crossentropy(y, p, value, slope, size, scale, options, True)


cdef inline void by_column(const Loss* loss, floating* out, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t first,
                           Py_ssize_t n) noexcept nogil:
    """out <- the options of columns first..n, for each row of a chunk; 1 if the loss has none."""
    cdef Py_ssize_t r, i
    if not loss.by_column:
        for i in range(CHUNK):
            out[i] = 1
        return
    for r in range(rows):
        for i in range(n - first):
            out[r * row + i] = loss.options[N_SETTINGS + first + i]


cdef inline void number_rows(const Loss* loss, const floating* y, const floating* p, Py_ssize_t row, floating* delta,
                             double* value, Py_ssize_t rows, Py_ssize_t n, double scale) noexcept nogil:
    """An elementwise loss: value <- mean of the row's terms; sum if `summed` or KL_DIVERGENCE.

    A chunk takes as many whole rows as fit in it, with the elements between them.  A longer row is
    divided into several chunks.
    """
    cdef floating terms[CHUNK]
    cdef floating unwanted[CHUNK]
    cdef floating columns[CHUNK]
    cdef Py_ssize_t group = min(rows, <Py_ssize_t>CHUNK // row), done = 0, begin, count, size, r
    cdef double per_row = 1 if loss.summed or loss.kind == KL_DIVERGENCE else 1. / n
    cdef floating factor = per_row * scale
    cdef floating* slope
    by_column(loss, columns, row, max(group, <Py_ssize_t>1), 0, min(n, <Py_ssize_t>CHUNK))
    while done < rows:
        count = min(group, rows - done) if group > 0 else 1
        begin = 0
        while begin < n:
            size = count * row if group > 0 else min(n - begin, <Py_ssize_t>CHUNK)
            if group == 0:
                by_column(loss, columns, row, 1, begin, begin + size)
            slope = delta + begin if delta != NULL else unwanted
            number_terms(loss, y + begin, p + begin, terms, slope, size, factor, columns)
            for r in range(count):
                value[r] = ((value[r] if begin > 0 else 0)
                            + sum_wide(terms + r * row, n if group > 0 else size) * per_row)
            begin += row if group > 0 else size
        y += count * row
        p += count * row
        if delta != NULL:
            delta += count * row
        value += count
        done += count


# -- by row ----------------------------------------------------------------------------------------


cdef inline double gaussian_nll(const floating* y, const floating* p, floating* delta, Py_ssize_t n) noexcept nogil:
    """Mean of (log v + e^2 / v) / 2 over n / 2 targets, e = y - mean.

    p holds the means, then raw variances: v = softplus(raw) + 1e-6.
    """
    cdef Py_ssize_t i, half = n // 2
    cdef double total = 0, e, error, raw, variance, scaled, probability
    for i in range(half):
        error = <double>y[i] - p[i]
        raw = p[half + i]
        e = exp(-fabs(raw))
        variance = (raw if raw > 0 else 0) + log1p(e) + 1e-6
        scaled = error / variance
        total += log(variance) + error * scaled
        if delta != NULL:
            probability = (1 if raw > 0 else e) / (1 + e)
            delta[i] = -scaled / half
            delta[half + i] = (1 / variance - scaled * scaled) * probability / (2 * half)
    return total / (2 * half)


cdef inline double cosine_similarity(const floating* y, const floating* p, floating* delta,
                                     Py_ssize_t n) noexcept nogil:
    """-sum(y / |y| p / |p|), each norm at least EPSILON.

    delta <- -(y / |y| + value p / |p|) / |p|.
    """
    cdef Py_ssize_t i
    cdef double of_y = sqrt(dot_wide(y, y, n)), of_p = sqrt(dot_wide(p, p, n)), value, along
    cdef bint clipped = of_p < EPSILON
    of_y = EPSILON if of_y < EPSILON else of_y
    of_p = EPSILON if clipped else of_p
    value = -dot_wide(y, p, n) / (of_y * of_p)
    along = 0 if clipped else -value
    if delta != NULL:
        for i in range(n):
            delta[i] = multiply_add(along, p[i] / of_p, -(y[i] / of_y)) / of_p
    return value


cdef inline double categorical_hinge(const floating* y, const floating* p, floating* delta,
                                     Py_ssize_t n) noexcept nogil:
    """max(0, 1 + max((1 - y) p) - sum(y p)); the first of equal maxima gets the gradient."""
    cdef Py_ssize_t i, best = 0
    cdef double value
    for i in range(1, n):
        best = i if (<floating>1 - y[i]) * p[i] > (<floating>1 - y[best]) * p[best] else best
    value = 1 + <double>(<floating>1 - y[best]) * p[best] - dot_wide(y, p, n)
    value = 0 if value <= 0 else value
    if delta != NULL:
        for i in range(n):
            delta[i] = <floating>0 if value <= 0 else -y[i]
        if value > 0:
            delta[best] += <floating>1 - y[best]
    return value


cdef inline double tversky(const floating* y, const floating* p, floating* delta, Py_ssize_t n,
                           const double* options) noexcept nogil:
    """1 - I / (I + a sum y (1 - p) + b sum p (1 - y) + EPSILON d), with I = sum y p.

    With a = b = d = 1/2 it is Dice.
    """
    cdef Py_ssize_t i
    cdef double a = options[0], b = options[1]
    cdef double both = dot_wide(y, p, n), of_y = sum_wide(y, n), of_p = sum_wide(p, n), whole, per, share
    whole = both + a * (of_y - both) + b * (of_p - both) + EPSILON * options[2]
    per = 1 / whole
    share = both * per
    if delta != NULL:
        for i in range(n):
            delta[i] = multiply_add(share, multiply_add(1 - a - b, <double>y[i], b), -<double>y[i]) * per
    return 1 - share


cdef inline void probability_numbers(const floating* y, const floating* p, floating* slopes, double* terms,
                                     double* products, Py_ssize_t size, floating top, floating per_sum,
                                     const double* settings, const double* balance, bint focal,
                                     bint from_logits) noexcept nogil:
    """terms <- w t log q, slopes <- g, products <- g q, the parts of `probability_terms`.

    The products are stored and `probability_terms` adds them up: so each is rounded before it is
    added, at every CPU level.
    """
    cdef floating scale = settings[0], offset = settings[1], exponent = settings[2], alpha
    cdef floating low = EPSILON, high = <floating>1 - low, q, clipped, truth, factor, logarithm, slope
    cdef Py_ssize_t i
    for i in range(size):
        q = exp(p[i] - top) * per_sum if from_logits else p[i] * per_sum
        clipped = clip(q, low, high)
        truth = y[i] * scale + offset
        logarithm = log(clipped)
        slope = -truth / clipped
        if focal:
            alpha = balance[i]
            factor = alpha * to_the(<floating>1 - clipped, exponent)
            slope = slope * factor
            if exponent != 0:
                slope = multiply_add(exponent * alpha * to_the(<floating>1 - clipped, exponent - <floating>1),
                                     truth * logarithm, slope)
            truth = truth * factor
        slopes[i] = slope if clipped == q else <floating>0
        terms[i] = <double>truth * logarithm
        products[i] = <double>slopes[i] * q


cdef inline double probability_terms(const floating* y, const floating* p, floating* delta, Py_ssize_t n,
                                     const Loss* loss, bint focal, bint from_logits) noexcept nogil:
    """-sum w t log q, with t = s y + o and q = p / sum p clipped; from logits q = softmax(p).

    w = balance (1 - q)^exponent if `focal`, else 1; s and o smooth the labels.  With g the gradient
    with respect to q, delta_i <- (g_i - sum_j g_j q_j) / sum p; from logits
    q_i (g_i - sum_j g_j q_j).
    """
    cdef double terms[CHUNK]
    cdef double products[CHUNK]
    cdef floating unwanted[CHUNK]
    cdef Py_ssize_t begin = 0, size, i
    cdef floating top = max_row(p, n), per_sum, q
    cdef double total = 0, dot = 0, mass = 0
    if from_logits:
        for i in range(n):
            mass += exp(p[i] - top)
    else:
        mass = sum_wide(p, n)
    per_sum = 1 / mass if mass != 0 else 0          # a row of zeros: clipped, without a gradient
    while begin < n:
        size = min(n - begin, <Py_ssize_t>CHUNK)
        probability_numbers(y + begin, p + begin, delta + begin if delta != NULL else unwanted, terms, products, size,
                            top, per_sum, loss.options, loss.options + N_SETTINGS + begin, focal, from_logits)
        for i in range(size):
            total -= terms[i]
            dot += products[i]
        begin += size
    if delta != NULL:
        for i in range(n):
            q = exp(p[i] - top) if from_logits else <floating>1
            delta[i] = (delta[i] - <floating>dot) * (q * per_sum)
    return total


cdef inline Py_ssize_t place_of(int64_t label) noexcept nogil:
    """The column of a label; for an ignored label, any column."""
    return label if label >= 0 else 0


cdef inline double sparse_categorical_crossentropy(int64_t given, const floating* p, floating* delta,
                                                   Py_ssize_t n) noexcept nogil:
    """-log q_label, q = p / sum p clipped; delta as for the one-hot label."""
    cdef Py_ssize_t i, label = place_of(given)
    cdef floating low = EPSILON, high = <floating>1 - low
    cdef double mass = sum_wide(p, n)
    cdef floating scale = 1 / mass if mass != 0 else 0, q = p[label] * scale, clipped = clip(q, low, high)
    if delta != NULL:
        for i in range(n):
            delta[i] = scale if clipped == q else <floating>0
        if clipped == q:
            delta[label] = scale - scale / q
    return -log(<double>clipped)


# Softmax cross-entropies work on blocks of rows, so that one loop takes exp of all their elements.

cdef enum:
    ROW_BLOCK = 64          # rows at most
    SOFTMAX_NUMBERS = 2048  # elements at most, but at least one row: they stay in the L1 cache


cdef inline void softmax_terms(const floating* z, floating* e, double* total, double* largest, Py_ssize_t row,
                               Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """largest <- max z, e <- exp(z - largest), total <- sum e, by rows; e may be NULL."""
    cdef Py_ssize_t r, i, begin, size
    cdef floating piece[CHUNK]
    cdef floating top
    for r in range(rows):
        largest[r] = max_row(z + r * row, n)
    if e == NULL:
        for r in range(rows):
            total[r] = 0
            begin = 0
            while begin < n:
                size = min(n - begin, <Py_ssize_t>CHUNK)
                for i in range(size):
                    piece[i] = exp(z[r * row + begin + i] - <floating>largest[r])
                total[r] += sum_row(piece, size)
                begin += size
        return
    for r in range(rows):
        top = largest[r]
        if n >= CHUNK:
            for i in range(n):
                e[r * row + i] = exp(z[r * row + i] - top)
        else:
            for i in range(row):
                e[r * row + i] = z[r * row + i] - top
    if n < CHUNK:                   # one loop over many short rows
        for i in range(rows * row):
            e[i] = exp(e[i])
    for r in range(rows):
        total[r] = sum_row(e + r * row, n)


cdef inline void softmax_crossentropy(const Loss* loss, const floating* y, Py_ssize_t y_row, const int64_t* labels,
                                      const floating* z, Py_ssize_t row, floating* delta, double* value,
                                      Py_ssize_t rows, Py_ssize_t n, double factor) noexcept nogil:
    """value <- sum t (log sum exp(z) - z), at most `ceiling`; t = s y + o, or one-hot labels.

    delta <- factor ((sum t) softmax(z) - t).  s and o smooth the labels.
    """
    cdef Py_ssize_t r, i, block, done = 0
    cdef Py_ssize_t most = max(<Py_ssize_t>1, min(<Py_ssize_t>ROW_BLOCK, <Py_ssize_t>SOFTMAX_NUMBERS // row))
    cdef double total[ROW_BLOCK]
    cdef double largest[ROW_BLOCK]
    cdef double scale = loss.options[0], offset = loss.options[1], bound = ceiling(loss.options), mass
    cdef floating per_e, one = factor, smooth = scale * factor, rest = offset * factor
    while done < rows:
        block = min(most, rows - done)
        softmax_terms(z, delta, total, largest, row, block, n)
        for r in range(block):
            value[r] = log(total[r])
        for r in range(block):
            if labels != NULL:
                mass = 1
                value[r] += largest[r] - z[r * row + place_of(labels[r])]
            else:
                mass = multiply_add(scale, sum_wide(y + r * y_row, n), offset * n)
                value[r] = multiply_add(mass, value[r] + largest[r], multiply_add(
                    -scale, dot_wide(y + r * y_row, z + r * row, n), -(offset * sum_wide(z + r * row, n))))
            value[r] = bound if value[r] > bound else value[r]
            if delta != NULL:
                per_e = factor * mass / total[r]
                for i in range(row):
                    delta[r * row + i] *= per_e
                if labels != NULL:
                    delta[r * row + place_of(labels[r])] -= one
                else:
                    for i in range(n):
                        delta[r * row + i] -= y[r * y_row + i] * smooth + rest
        if labels != NULL:
            labels += block
        else:
            y += block * y_row
        if delta != NULL:
            delta += block * row
        z += block * row
        value += block
        done += block


# -- the choice of a kernel ------------------------------------------------------------------------


cdef inline double one_row(const Loss* loss, const floating* y, int64_t label, const floating* p, floating* delta,
                           Py_ssize_t n) noexcept nogil:
    """The value of one row of a loss by row; delta (n,) <- its gradient, if not NULL."""
    if loss.kind == GAUSSIAN_NLL:
        return gaussian_nll(y, p, delta, n)
    if loss.kind == COSINE_SIMILARITY:
        return cosine_similarity(y, p, delta, n)
    if loss.kind == CATEGORICAL_HINGE:
        return categorical_hinge(y, p, delta, n)
    if loss.kind == CATEGORICAL_CROSSENTROPY:
        return probability_terms(y, p, delta, n, loss, False, False)
    if loss.kind == CATEGORICAL_FOCAL_CROSSENTROPY:
        return probability_terms(y, p, delta, n, loss, True, False)
    if loss.kind == CATEGORICAL_FOCAL_CROSSENTROPY_LOGITS:
        return probability_terms(y, p, delta, n, loss, True, True)
    if loss.kind == SPARSE_CATEGORICAL_CROSSENTROPY:
        return sparse_categorical_crossentropy(label, p, delta, n)
    if loss.kind == TVERSKY:
        return tversky(y, p, delta, n, loss.options)
    if loss.kind == C_FUNCTION:
        if floating is float:
            return (<f32_loss>loss.function)(y, p, delta, n, loss.user_data)
        else:
            return (<f64_loss>loss.function)(y, p, delta, n, loss.user_data)
    return 0


cdef inline void ignore_rows(const int64_t* labels, Py_ssize_t row, floating* delta, double* value,
                             Py_ssize_t rows) noexcept nogil:
    """Sets value and gradient to 0 for rows of the ignored class."""
    cdef Py_ssize_t r, i
    for r in range(rows):
        if labels[r] < 0:
            value[r] = 0
            for i in range(row if delta != NULL else 0):
                delta[r * row + i] = 0


cdef inline void loss_rows(const Loss* loss, const floating* y, Py_ssize_t y_row, const int64_t* labels,
                           const floating* p, Py_ssize_t row, floating* delta, double* value, Py_ssize_t rows,
                           Py_ssize_t n, double scale) noexcept nogil:
    """The loss of each row and, where delta is not NULL, `scale` times its gradient.

    For a C_FUNCTION delta is never NULL.
    """
    cdef Py_ssize_t r, i
    cdef floating factor = scale
    if is_elementwise(loss.kind):
        number_rows(loss, y, p, row, delta, value, rows, n, scale)
    elif loss.kind == CATEGORICAL_CROSSENTROPY_LOGITS or loss.kind == SPARSE_CATEGORICAL_CROSSENTROPY_LOGITS:
        softmax_crossentropy(loss, y, y_row, labels, p, row, delta, value, rows, n, scale)
    else:
        for r in range(rows):
            value[r] = one_row(loss, y + r * y_row, labels[r] if labels != NULL else 0, p + r * row,
                               delta + r * row if delta != NULL else NULL, n)
        for i in range(rows * row if delta != NULL and scale != 1 else 0):
            delta[i] *= factor
    if labels != NULL:
        ignore_rows(labels, row, delta, value, rows)
