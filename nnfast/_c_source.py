"""A model as one file of C99: weights, a function for each kind of step, and `predict`.

    const weights        kernel_0 (n_in, n_out) by rows, bias_0, ...: the arrays of the model, by
                         the number of the layer
    dense                out <- bias + x kernel: the inner loop runs over outputs, which adjoin in
                         memory, so compilers vectorise it although they may not reorder sums
    any other step       in place; a null pointer for a vector that would change nothing
    predict              a call for each step, x -> a -> b -> a -> ... -> out: two arrays on the
                         stack take turns

Templates hold $name (the prefix of every name in the file), $real (float or double) and $f, the
suffix of constants and functions of that type ("f" or nothing).  Formulas of activations are in
`_peers.py`.
"""
from __future__ import annotations

import math
import re
import textwrap
from string import Template
from typing import TYPE_CHECKING

from nnfast import layers
from nnfast._peers import ACTIVATIONS, IDENTITIES, gamma_and_beta, shift_factor_offset, unknown_activation
from nnfast._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

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
ONE_BY_ONE = {name: Template(ELEMENTWISE).safe_substitute(function=name, formula=row.c)
              for name, row in ACTIVATIONS.items() if row.c is not None}
FUNCTIONS = {"dense": DENSE, "copy": COPY, "softmax": SOFTMAX, "scale": SCALE, "layer_norm": LAYER_NORM,
             "prelu": PRELU, **ONE_BY_ONE}


class Source:
    """A file under construction: weights and steps are appended to it.

    A step is the name of a function and its arguments: text, or the number of an array of
    activations.  Array 0 is x; `widths` has the widths of the arrays from 1 on.
    """

    def __init__(self, model: Any, name: str) -> None:
        if not isinstance(name, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
            raise ValueError(f"name must be a letter followed by letters, digits and underscores, as C wants it; "
                             f"got {name!r}.")
        self.model, self.name, self.suffix = model, name, "f" if model.dtype == "float32" else ""
        self.arrays: list[str] = []
        self.steps: list[tuple[str | int, ...]] = []
        self.plan: list[str] = []
        self.widths: list[int] = []

    @property
    def width(self) -> int:
        """Width of the last array."""
        return self.widths[-1] if self.widths else math.prod(self.model.input_shape[1:])

    def weight(self, array: NDArray[Any] | None, what: str) -> str:
        """Adds an array of weights of the last layer in `plan`; returns its name, "0" for None."""
        if array is None:
            return "0"
        name = f"${{name}}_{what}_{len(self.plan) - 1}"
        numbers = [re.sub(r"\.?0+p", "p", number.hex()) + self.suffix for number in array.ravel().tolist()]
        lines = ",\n    ".join(", ".join(numbers[i:i + 6]) for i in range(0, len(numbers), 6))
        self.arrays.append(f"\nstatic const $real {name}[{len(numbers)}] = {{\n    {lines}\n}};\n")
        return name

    def into_new(self, function: str, *weights: str, width: int) -> None:
        """Adds the step function(last array, weights, new array, sizes)."""
        last, sizes = len(self.widths), [width] if function == "copy" else [self.width, width]
        self.steps.append((function, last, *weights, last + 1, *map(str, sizes)))
        self.widths.append(width)

    def begin(self) -> None:
        """Copies x, which is const, if there is no array yet."""
        if not self.widths:
            self.into_new("copy", width=self.width)

    def in_place(self, function: str, *weights: str) -> None:
        """Adds the step function(last array, weights, size)."""
        self.begin()
        self.steps.append((function, len(self.widths), *weights, str(self.width)))

    def activation(self, name: str) -> None:
        """Adds an activation of the last array."""
        if name == "linear":
            return
        if name not in ONE_BY_ONE and name != "softmax":
            raise unknown_activation(name, "export_c", ["linear", "softmax", *ONE_BY_ONE])
        self.in_place(name)

    def text(self) -> str:
        """Contents of the file."""
        self.begin()
        count = len(self.widths)
        names = ["x", *("ba"[k % 2] for k in range(1, count)), "out"]
        sizes = {name: max(width for width, own in zip(self.widths, names[1:]) if own == name)
                 for name in sorted(set(names[1:-1]))}
        body = [f"$real {', '.join(f'{name}[{size}]' for name, size in sizes.items())};"] if sizes else []
        for function, *arguments in self.steps:
            given = ", ".join(names[each] if isinstance(each, int) else each for each in arguments)
            body.append(f"${{name}}_{function}({given});")
        used = dict.fromkeys(str(function) for function, *_ in self.steps)
        n_inputs = math.prod(self.model.input_shape[1:])
        plan = " -> ".join([f"x[{n_inputs}]", *self.plan, f"out[{self.width}]"])
        file = Template(FILE).safe_substitute(
            plan=textwrap.fill(plan, 110, initial_indent=" *     ", subsequent_indent=" *     "),
            version=__version__, arrays="".join(self.arrays),
            functions="".join(FUNCTIONS[function] for function in used),
            body="\n".join(f"    {line}" for line in body))
        return Template(file).substitute(
            name=self.name, NAME=self.name.upper(), real="float" if self.suffix else "double", f=self.suffix,
            n_inputs=n_inputs, n_outputs=self.width, stack=sum(sizes.values()) * self.model.dtype.itemsize)


def _dense(source, layer, kernel, bias=None):
    source.plan.append(f"Dense({layer.units}, {layer.activation})")
    source.into_new("dense", source.weight(kernel, "kernel"), source.weight(bias, "bias"), width=layer.units)
    source.activation(layer.activation)


def _activation(source, layer):
    source.plan.append(layer.activation)
    source.activation(layer.activation)


def _scale(source, layer, *arrays):
    source.plan.append(type(layer).__name__)
    shift, factor, offset = shift_factor_offset(layer, arrays)
    source.in_place("scale", source.weight(shift if shift.any() else None, "shift"),
                    source.weight(factor, "factor"), source.weight(offset if offset.any() else None, "offset"))


def _layer_norm(source, layer, *arrays):
    source.plan.append("LayerNormalization")
    gamma, beta, _ = gamma_and_beta(layer, arrays)
    source.in_place("layer_norm", source.weight(gamma, "gamma"), source.weight(beta, "beta"), repr(layer.epsilon))


def _prelu(source, layer, alpha):
    source.plan.append("PReLU")
    source.in_place("prelu", source.weight(alpha, "alpha"))


WRITERS: dict[type[Any], Callable[..., None]] = {
    **dict.fromkeys(IDENTITIES, lambda source, layer: None),
    layers.Dense: _dense,
    layers.Activation: _activation,
    **dict.fromkeys([layers.BatchNormalization, layers.Normalization, layers.Rescaling], _scale),
    layers.LayerNormalization: _layer_norm,
    layers.PReLU: _prelu,
}
