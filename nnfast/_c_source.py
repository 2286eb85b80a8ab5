"""A model as one file of C99: weights, a function for each kind of step, and `predict`, a call for each layer.

    const weights        kernel_0 (n_in, n_out) by rows, bias_0, ... as the model holds them, by the number of the layer
    dense                out <- bias + x kernel: the inner loop runs over outputs, side by side in memory, so that compilers
                         use vectors without leave to reorder sums
    any other step       in place; 0 instead of a vector that does nothing
    predict              x -> a -> b -> a -> ... -> out: two arrays on the stack take turns

Templates have $name (what every name in the file begins with), $real (float or double) and $f, the suffix of constants and
functions of that type ("f" or nothing).
"""
import math
import re
import textwrap
from string import Template

from nnfast import layers
from nnfast._version import __version__
from nnfast.activations import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE
from nnfast.interchange import gamma_and_beta, shift_factor_offset

FILE = """\
/* A trained network, written by nnfast $version:
 *
$plan
 *
 * One row is    ${name}_predict(x, out);    n rows, one behind the other, are
 *
 *     for (i = 0; i < n; i++)
 *         ${name}_predict(x + i * ${NAME}_N_INPUTS, out + i * ${NAME}_N_OUTPUTS);
 *
 * x and out must not overlap.  Nothing is allocated or kept between calls, so threads may share it; its arrays take
 * $stack bytes of the stack.  C99; link with -lm.
 */
#include <math.h>

#define ${NAME}_N_INPUTS $n_inputs
#define ${NAME}_N_OUTPUTS $n_outputs

void ${name}_predict(const $real *x, $real *out);
$arrays$functions
void ${name}_predict(const $real *x, $real *out)
{
$body
}
"""
DENSE = """
static void ${name}_dense(const $real *restrict x, const $real *restrict kernel, const $real *restrict bias,
    $real *restrict out, int n_in, int n_out)
{
    int i, j;
    for (j = 0; j < n_out; j++)
        out[j] = bias ? bias[j] : 0;
    for (i = 0; i < n_in; i++, kernel += n_out)
        for (j = 0; j < n_out; j++)
            out[j] += x[i] * kernel[j];
}
"""
COPY = """
static void ${name}_copy(const $real *restrict x, $real *restrict out, int n)
{
    int i;
    for (i = 0; i < n; i++)
        out[i] = x[i];
}
"""
SOFTMAX = """
static void ${name}_softmax($real *a, int n)
{
    $real largest = a[0], total = 0;
    int i;
    for (i = 1; i < n; i++)
        largest = a[i] > largest ? a[i] : largest;
    for (i = 0; i < n; i++) {
        a[i] = exp$f(a[i] - largest);
        total += a[i];
    }
    for (i = 0; i < n; i++)
        a[i] /= total;
}
"""
SCALE = """
static void ${name}_scale($real *a, const $real *shift, const $real *factor, const $real *offset, int n)
{
    int i;
    for (i = 0; i < n; i++)
        a[i] = (a[i] - (shift ? shift[i] : 0)) * factor[i] + (offset ? offset[i] : 0);
}
"""
LAYER_NORM = """
static void ${name}_layer_norm($real *a, const $real *gamma, const $real *beta, double epsilon, int n)
{
    double mean = 0, variance = 0, inverse;
    int i;
    for (i = 0; i < n; i++)
        mean += a[i];
    mean /= n;
    for (i = 0; i < n; i++)
        variance += (a[i] - mean) * (a[i] - mean);
    variance /= n;
    inverse = 1 / sqrt(variance + epsilon);
    for (i = 0; i < n; i++)
        a[i] = ($real)((a[i] - mean) * inverse * (gamma ? gamma[i] : 1) + (beta ? beta[i] : 0));
}
"""
PRELU = """
static void ${name}_prelu($real *a, const $real *alpha, int n)
{
    int i;
    for (i = 0; i < n; i++)
        a[i] = a[i] > 0 ? a[i] : alpha[i] * a[i];
}
"""
ELEMENTWISE = """
static void ${name}_$function($real *a, int n)
{
    int i;
    for (i = 0; i < n; i++) {
        $real z = a[i];
        a[i] = $formula;
    }
}
"""
FORMULAS = {
    "relu": "z <= 0 ? 0 : z",
    "sigmoid": "1 / (1 + exp$f(-z))",
    "tanh": "tanh$f(z)",
    "leaky_relu": f"z <= 0 ? {LEAKY_SLOPE}$f * z : z",
    "elu": "z <= 0 ? expm1$f(z) : z",
    "selu": f"{SELU_SCALE}$f * (z <= 0 ? {SELU_ALPHA}$f * expm1$f(z) : z)",
    "gelu": f"0.5$f * z * (1 + erf$f({0.5**0.5!r}$f * z))",
    "gelu_tanh": f"z / (1 + exp$f(-{(8 / math.pi)**0.5!r}$f * (z + 0.044715$f * z * z * z)))",      # (1 + tanh(u)) / 2 is sigmoid(2 u)
    "silu": "z / (1 + exp$f(-z))",
    "softplus": "fmax$f(z, 0) + log1p$f(exp$f(-fabs$f(z)))",
    "softsign": "z / (1 + fabs$f(z))",
    "mish": "z * tanh$f(fmax$f(z, 0) + log1p$f(exp$f(-fabs$f(z))))",
    "hard_sigmoid": "z <= -3 ? 0 : z >= 3 ? 1 : z / 6 + 0.5$f",
    "exponential": "exp$f(z)",
}
FUNCTIONS = {"dense": DENSE, "copy": COPY, "softmax": SOFTMAX, "scale": SCALE, "layer_norm": LAYER_NORM, "prelu": PRELU,
             **{name: Template(ELEMENTWISE).safe_substitute(function=name, formula=formula) for name, formula in FORMULAS.items()}}


class Source:
    """Weights and steps of a file that grows at its end.

    A step is a function and its arguments: text, or the number of an array of activations, 0 for x; `widths` has those of the
    arrays from 1 on.
    """

    def __init__(self, model, name):
        if not isinstance(name, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(f"name must be a letter followed by letters, digits and underscores, as C wants it; got {name!r}.")
        self.model, self.name, self.suffix = model, name, "f" if model.dtype == "float32" else ""
        self.arrays, self.steps, self.plan, self.widths = [], [], [], []

    @property
    def width(self):
        """Of the last array."""
        return self.widths[-1] if self.widths else math.prod(self.model.input_shape[1:])

    def weight(self, array, what):
        """Adds an array of weights of the layer that is the last of the plan; its name, 0 of None."""
        if array is None:
            return "0"
        name = f"${{name}}_{what}_{len(self.plan) - 1}"
        numbers = [re.sub(r"\.?0+p", "p", number.hex()) + self.suffix for number in array.ravel().tolist()]
        lines = ",\n    ".join(", ".join(numbers[i:i + 6]) for i in range(0, len(numbers), 6))
        self.arrays.append(f"\nstatic const $real {name}[{len(numbers)}] = {{\n    {lines}\n}};\n")
        return name

    def into_new(self, function, *weights, width):
        """Adds function(last array, weights, new array, its sizes)."""
        last, sizes = len(self.widths), [width] if function == "copy" else [self.width, width]
        self.steps.append((function, last, *weights, last + 1, *map(str, sizes)))
        self.widths.append(width)

    def begin(self):
        """Copies x where nothing else has made an array of it: x is const."""
        if not self.widths:
            self.into_new("copy", width=self.width)

    def in_place(self, function, *weights):
        """Adds function(last array, weights, its size)."""
        self.begin()
        self.steps.append((function, len(self.widths), *weights, str(self.width)))

    def text(self):
        """The file."""
        self.begin()
        count = len(self.widths)
        names = ["x", *("ba"[k % 2] for k in range(1, count)), "out"]
        sizes = {name: max(width for width, own in zip(self.widths, names[1:]) if own == name) for name in sorted(set(names[1:-1]))}
        body = [f"$real {', '.join(f'{name}[{size}]' for name, size in sizes.items())};"] if sizes else []
        for function, *arguments in self.steps:
            arguments = [names[each] if isinstance(each, int) else each for each in arguments]
            body.append(f"${{name}}_{function}({', '.join(arguments)});")
        used = dict.fromkeys(function for function, *_ in self.steps)
        file = Template(FILE).safe_substitute(
            plan=textwrap.fill(" -> ".join([f"x[{math.prod(self.model.input_shape[1:])}]", *self.plan, f"out[{self.width}]"]), 110,
                               initial_indent=" *     ", subsequent_indent=" *     "),
            version=__version__, arrays="".join(self.arrays), functions="".join(FUNCTIONS[function] for function in used),
            body="\n".join(f"    {line}" for line in body))
        return Template(file).substitute(
            name=self.name, NAME=self.name.upper(), real="float" if self.suffix else "double", f=self.suffix,
            n_inputs=math.prod(self.model.input_shape[1:]), n_outputs=self.width, stack=sum(sizes.values()) * self.model.dtype.itemsize)


def _dense(source, layer, kernel, bias=None):
    source.plan.append(f"Dense({layer.units}, {layer.activation})")
    source.into_new("dense", source.weight(kernel, "kernel"), source.weight(bias, "bias"), width=layer.units)
    if layer.activation != "linear":
        source.in_place(layer.activation)


def _activation(source, layer):
    source.plan.append(layer.activation)
    if layer.activation != "linear":
        source.in_place(layer.activation)


def _scale(source, layer, *arrays):
    source.plan.append(type(layer).__name__)
    shift, factor, offset = shift_factor_offset(layer, arrays)
    source.in_place("scale", source.weight(shift if shift.any() else None, "shift"), source.weight(factor, "factor"),
                    source.weight(offset if offset.any() else None, "offset"))


def _layer_norm(source, layer, *arrays):
    source.plan.append("LayerNormalization")
    gamma, beta, _ = gamma_and_beta(layer, arrays)
    source.in_place("layer_norm", source.weight(gamma, "gamma"), source.weight(beta, "beta"), repr(layer.epsilon))


def _prelu(source, layer, alpha):
    source.plan.append("PReLU")
    source.in_place("prelu", source.weight(alpha, "alpha"))


WRITERS = {
    **dict.fromkeys([layers.Input, layers.Flatten, layers.Dropout, layers.GaussianNoise], lambda source, layer: None),
    layers.Dense: _dense,
    layers.Activation: _activation,
    **dict.fromkeys([layers.BatchNormalization, layers.Normalization, layers.Rescaling], _scale),
    layers.LayerNormalization: _layer_norm,
    layers.PReLU: _prelu,
}
