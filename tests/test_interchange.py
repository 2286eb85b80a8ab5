"""A network computes the same in other tools.

These are the reference and the runtime of ONNX, a C compiler, scikit-learn, PyTorch and Keras.
"""
import builtins
import copy
import ctypes
import functools
import itertools
import re
import shutil
import subprocess
import sys
from types import FunctionType, SimpleNamespace

import numpy as np
import pytest
from optional import has, needs
from tolerances import assert_close

import nnfast
from nnfast import interchange, layers
from nnfast._core import network as core
from nnfast.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Input,
    LayerNormalization,
    Normalization,
    PReLU,
    Rescaling,
)

ACTIVATIONS, DTYPES = list(core.ACTIVATIONS), ["float32", "float64"]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_activation = pytest.mark.parametrize("name", ACTIVATIONS)
COMPILER = next(filter(None, map(shutil.which, ["gcc", "clang", "cc"])), None)
COMPILE = [COMPILER, "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")


def with_weights(stack, dtype="float32", scale=0.3, seed=0):
    """A model with random weights and biases."""
    model, rng = nnfast.Sequential(map(copy.copy, stack), dtype=dtype, seed=seed), np.random.default_rng(seed)
    model.set_weights([rng.normal(0, scale, array.shape) for array in model.get_weights()])
    return model


def trained(stack, dtype="float32"):
    """A trained model: every array differs from its initial values, also the moving averages."""
    model, rng = nnfast.Sequential(map(copy.copy, stack), dtype=dtype, seed=0), np.random.default_rng(0)
    first, n_outputs = model.get_weights(), model.predict(np.zeros((1, *stack[0].shape))).shape[1]
    model.compile(nnfast.optimizers.Adam(0.05), "mse")
    x, y = 1 + 2 * rng.standard_normal((96, *stack[0].shape)), rng.standard_normal((96, n_outputs))
    model.fit(x, y, batch_size=16, epochs=4, verbose=0)
    assert all((before != after).any() for before, after in zip(first, model.get_weights(), strict=True))
    return model


def assert_same_bytes(ours, theirs):
    """Two lists of arrays are equal, bit for bit."""
    assert all(one.tobytes() == other.tobytes() for one, other in zip(ours, theirs, strict=True))


ONE_OF_EACH = [
    Rescaling(0.5, 0.1), Dropout(0.2), Flatten(), Normalization([1, 2, 3, 4, 5, 6.], [1, 4, 2, 0.5, 1, 2.]),
    Dense(9, use_bias=False), BatchNormalization(), Activation("tanh"), GaussianNoise(0.1), Dense(7), PReLU(),
    LayerNormalization(), Dropout(0.1), Dense(5, "gelu_tanh"), Rescaling([1, 2, 3, 4, 5.], offset=[0, 1, 0, 2, 0.]),
    Normalization(2., 3., invert=True), Dense(3), BatchNormalization(momentum=0.5),
]
# {name: layers} with every activation, every layer and every kind of first and last layer
STACKS = {
    **{name: [Input(6), Dense(9, name), Dense(5, use_bias=False), Activation(name), Dense(4, name)]
       for name in ACTIVATIONS},
    **{f"only_{name}": [Input(7), Activation(name)] for name in ACTIVATIONS},
    "images": [Input((4, 3)), Flatten(), Dense(5, "relu"), Dense(2)],
    "flat": [Input(6), Flatten(), Dense(2, use_bias=False)],
    "twice": [Input(6), Activation("tanh"), Activation("softsign"), Dense(3, "relu"), Activation("softmax"),
              Activation("elu")],
    "narrow": [Input(1), Dense(1), Dense(7, "selu"), Dense(1)],
    **{f"{prefix}_{'center' * center}_{'scale' * scale}":
       [Input(6), Dense(9), norm(center=center, scale=scale, epsilon=epsilon), Dense(3)]
       for prefix, norm, epsilon in [("batch", BatchNormalization, 1e-3), ("layer", LayerNormalization, 1e-5)]
       for center, scale in itertools.product([True, False], repeat=2)},
    "only_batch": [Input(5), BatchNormalization()],
    "only_layer": [Input(5), LayerNormalization()],
    "only_prelu": [Input(5), PReLU(nnfast.initializers.Constant(0.25))],
    "prelu": [Input(6), Dense(9), PReLU(), Dense(3)],
    # a large mean, where digits can be lost, and a constant column
    "years": [Input(2), Normalization([1950, 0.5], [100, 0.]), Dense(3)],
    "invert": [Input(2), Dense(2), Normalization([1950, 0.5], [100, 0.], invert=True)],
    "only_normalization": [Input(3), Normalization(2., 9.)],
    "only_rescaling": [Input(3), Rescaling(1 / 255)],
    "offset": [Input(3), Dense(3, "relu"), Rescaling([1, 2, 0.], [0, -1, 5.])],
    "pixels": [Input((2, 3)), Rescaling([1, 2, 3, 4, 5, 6.], offset=-0.5), Flatten()],
    "noise": [Input((2, 3)), GaussianNoise(0.3), Flatten(), Dropout(0.5), Dense(3), Dropout(0.5), Dense(2),
              GaussianNoise(0.5)],
    "only_dropout": [Input(3), Dropout(0.5)],
    "one_of_each": [Input((2, 3)), *ONE_OF_EACH],
    "backwards": [Input(6), PReLU(), LayerNormalization(), BatchNormalization(), PReLU(), Dense(9, "elu"),
                  BatchNormalization(center=False), LayerNormalization(scale=False), Dense(4), Activation("softmax"),
                  Rescaling(3)],
}
every_network = pytest.mark.parametrize("name", STACKS)


@functools.cache
def network(name, dtype="float32"):
    learns = any(isinstance(layer, (BatchNormalization, LayerNormalization, PReLU)) for layer in STACKS[name])
    if learns:
        return trained(STACKS[name], dtype)
    return with_weights(STACKS[name], dtype, 0.1 if name == "exponential" else 0.3)


def test_networks_contain_every_layer():
    used = {type(layer).__name__ for stack in STACKS.values() for layer in stack}
    assert used == set(layers.__all__)


def rows_for(model, count=1000):
    x = np.random.default_rng(1).standard_normal((count, *model.layers[0].shape)).astype(model.dtype)
    if not any(isinstance(layer, Dense) for layer in model.layers):
        x *= 20                                         # activations saturate there
    if isinstance(model.layers[1], Normalization):
        x = (x * 10 + 1950).astype(model.dtype)
    return x


# -- ONNX ------------------------------------------------------------------------------------------

@every_dtype
@every_network
def test_onnx_reference_matches_predict(name, dtype, tmp_path):
    onnx = needs("onnx")
    reference = needs("onnx.reference")
    model = network(name, dtype)
    nnfast.export_onnx(model, tmp_path / "net.onnx")
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)
    proto = onnx.load(tmp_path / "net.onnx")
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 13)]
    assert all(node.domain == "" for node in proto.graph.node)
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param                # any number of rows
    for x in (rows_for(model), rows_for(model, 1)):
        with np.errstate(over="ignore", invalid="ignore"):      # from the reference's sigmoid and softplus
            y, = reference.ReferenceEvaluator(proto).run(None, {"x": x})
        assert y.dtype == dtype
        rough = name.endswith("gelu")                   # ONNX's reference (1.23) rounds erf to float32
        assert_close(y, model.predict(x), "interchange", "float32" if rough else dtype)


@every_dtype
@every_network
def test_onnx_runtime_matches_predict(name, dtype, tmp_path):
    needs("onnx")
    runtime = needs("onnxruntime")
    model = network(name, dtype)
    nnfast.export_onnx(model, tmp_path / "net.onnx")
    if dtype == "float64" and name in ("gelu", "only_gelu"):
        with pytest.raises(Exception, match="Erf"):     # it has no Erf for float64
            runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
        return
    session = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for x in (rows_for(model), rows_for(model, 1)):
        y, = session.run(["y"], {"x": x})
        assert y.dtype == dtype
        assert_close(y, model.predict(x), "interchange", dtype)


def test_error_without_onnx_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = r'export_onnx needs onnx>=.* failed.*pip install "onnx>=.*pip install -e "\.\[onnx\]"'
    with pytest.raises(ImportError, match=message):
        nnfast.export_onnx(network("flat"), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_too_large_for_a_protobuf_is_refused(tmp_path, monkeypatch):
    needs("onnx")
    from nnfast import _onnx

    monkeypatch.setattr(_onnx, "LARGEST", 40)
    with pytest.raises(ValueError, match="up to 2 GB of weights; the model has 48 bytes"):
        nnfast.export_onnx(network("flat"), tmp_path / "net.onnx")


# -- C ---------------------------------------------------------------------------------------------

@pytest.fixture(scope="module", params=[DTYPES[0], pytest.param(DTYPES[1], marks=pytest.mark.slow)])
def compiled(request, tmp_path_factory):
    """The dtype, {name: model}, and one library compiled from the C files of all models."""
    folder, models = tmp_path_factory.mktemp("c"), {name: network(name, request.param) for name in STACKS}
    for name, model in models.items():
        nnfast.export_c(model, folder / f"{name}.c", name=name)
    files = [f"{name}.c" for name in models]
    subprocess.run([*COMPILE, "-O1", "-shared", "-fPIC", "-o", "all.so", *files, "-lm"], cwd=folder, check=True)
    return request.param, models, ctypes.CDLL(str(folder / "all.so"))


@needs_compiler
@every_network
def test_c_matches_predict(name, compiled):
    dtype, models, library = compiled
    x = rows_for(models[name])
    expected = models[name].predict(x)
    out = np.full_like(expected, np.nan)
    predict = getattr(library, f"{name}_predict")
    predict.restype, predict.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p]
    kept = x.copy()
    for row in range(len(x)):
        predict(x[row].ctypes.data, out[row].ctypes.data)
    assert_close(out, expected, "interchange", dtype)
    np.testing.assert_array_equal(x, kept)


@needs_compiler
def test_the_loop_shown_in_the_c_file_runs(tmp_path):
    """The lines shown in the header comment are compiled unchanged."""
    model = network("images", "float64")
    nnfast.export_c(model, tmp_path / "net.c", name="net")
    loop = "\n".join(re.findall(r"^ \*( {5}for.*| {9}net_predict.*)$", (tmp_path / "net.c").read_text(), re.M))
    (tmp_path / "main.c").write_text(f"""
        #include <stdio.h>
        #include "net.c"
        static double x[3 * NET_N_INPUTS], out[3 * NET_N_OUTPUTS];
        int main(void) {{
            int i, n = 3;
            for (i = 0; i < n * NET_N_INPUTS; i++) x[i] = i;
            {loop}
            for (i = 0; i < n * NET_N_OUTPUTS; i++) printf("%.17g\\n", out[i]);
            return 0;
        }}
    """)
    subprocess.run([*COMPILE, "main.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    printed = np.array(done.stdout.split(), float).reshape(3, 2)
    assert_close(printed, model.predict(np.arange(36.).reshape(3, 4, 3)), "interchange")


@every_dtype
def test_weights_in_the_c_file_are_exact(dtype, tmp_path):
    limits = np.finfo(dtype)
    values = [0, -0., 1, -1, 0.1, 1 / 3, limits.max, limits.tiny, limits.smallest_subnormal, -2.5e10]
    extremes = np.array(values, dtype)
    model = nnfast.Sequential([Input(10), Dense(1, use_bias=False)], dtype=dtype)
    model.params[:] = extremes
    nnfast.export_c(model, tmp_path / "net.c")
    body = re.search(r"model_kernel_0\[10\] = \{(.*?)\};", (tmp_path / "net.c").read_text(), re.S)[1]
    written = [float.fromhex(number.strip().removesuffix("f")) for number in body.split(",")]
    assert np.array(written, dtype).tobytes() == extremes.tobytes()


@pytest.mark.parametrize("name", ["", "2net", "my-net", "_net", "nét", "net;", "net\n", None, 5])
def test_an_invalid_c_name_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="name must be a letter"):
        nnfast.export_c(network("flat"), tmp_path / "net.c", name=name)
    assert not list(tmp_path.iterdir())


# -- both ------------------------------------------------------------------------------------------

every_export = pytest.mark.parametrize("export", [
    nnfast.export_c, pytest.param(nnfast.export_onnx, marks=pytest.mark.skipif(not has("onnx"), reason="needs onnx"))])
every_writer = pytest.mark.parametrize("write", ["export_c", "export_onnx", "sklearn_weights", "torch_weights"])


def written(write, model, path):
    if write == "export_onnx":
        needs("onnx")
    return getattr(interchange, write)(model, *([path] if write.startswith("export") else []))


@every_writer
def test_a_model_that_cannot_be_exported_is_refused(write, tmp_path):
    path = tmp_path / "net"
    with pytest.raises(TypeError, match="model must be a nnfast.Sequential, got list"):
        written(write, [], path)
    with pytest.raises(RuntimeError, match="must be built first"):
        written(write, nnfast.Sequential([Dense(3)]), path)
    model = nnfast.Sequential([Input(2), Dense(3)], seed=0)
    model.params[4] = np.nan
    with pytest.raises(ValueError, match=r"finite.*get_weights\(\)\[0\]"):
        written(write, model, path)

    class Maxout(Dense):
        pass

    message = rf"{write} cannot write the layer Maxout\(3\); it writes Activation, "
    with pytest.raises(ValueError, match=message):
        written(write, nnfast.Sequential([Input(2), Maxout(3)]), path)
    assert not list(tmp_path.iterdir())


@every_export
@pytest.mark.parametrize("layer", [Rescaling(1e300), BatchNormalization(epsilon=0)])
def test_factors_that_are_not_finite_are_refused(export, layer, tmp_path):
    model = nnfast.Sequential([Input(2), Dense(2), copy.copy(layer)], seed=0)
    with np.errstate(over="ignore"):
        model.build((None, 2))
    if isinstance(layer, BatchNormalization):
        model.set_weights([*model.get_weights()[:-1], np.zeros(2)])
    with pytest.raises(ValueError, match=f"{type(layer).__name__}.* must have finite factors.*in float32"):
        export(model, tmp_path / "net")
    assert not list(tmp_path.iterdir())


@every_writer
def test_a_layer_missing_in_a_format_is_refused_by_name(write, tmp_path, monkeypatch):
    """The entry of the layer is missing in this format alone."""
    module = {"export_c": "nnfast._c_source", "export_onnx": "nnfast._onnx"}.get(write)
    if write == "export_onnx":
        needs("onnx")
    if module:
        table = __import__(module, fromlist=["WRITERS"]).WRITERS
    else:
        table = getattr(interchange, f"{write.split('_')[0].upper()}_WRITERS")
    monkeypatch.delitem(table, layers.Flatten)
    with pytest.raises(ValueError, match=rf"{write} cannot write the layer Flatten\(\)"):
        written(write, network("images"), tmp_path / "net")
    assert not list(tmp_path.iterdir())


@every_export
def test_a_failed_export_leaves_the_old_file(export, tmp_path, monkeypatch):
    path, model = tmp_path / "net", network("flat")
    export(model, path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        export(network("relu"), str(path))
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["net"]
    monkeypatch.undo()
    export(network("relu"), str(path))
    assert path.read_bytes() != before


@every_export
def test_an_invalid_path_is_refused(export, tmp_path):
    model = network("flat")
    with pytest.raises(FileNotFoundError, match="folder that exists.*os.makedirs"):
        export(model, tmp_path / "missing" / "net")
    with pytest.raises(IsADirectoryError, match="must name a file"):
        export(model, tmp_path)
    assert not list(tmp_path.iterdir())


@every_export
def test_a_model_without_input_layer_is_exported_once_it_is_built(export, tmp_path):
    model = nnfast.Sequential([Flatten(), Dense(2)], seed=0)
    model.build((None, 3, 2))
    export(model, tmp_path / "net")
    if export is nnfast.export_c:
        assert "#define MODEL_N_INPUTS 6\n" in (tmp_path / "net").read_text()
    else:
        import onnx

        assert onnx.load(tmp_path / "net").graph.input[0].type.tensor_type.shape.dim[1].dim_value == 6


def test_an_import_of_nnfast_imports_no_other_tool():
    done = subprocess.run([sys.executable, "-c", "import sys, nnfast; nnfast.export_c, nnfast.from_torch; "
                           "print({'onnx', 'torch', 'keras', 'sklearn', 'nnfast._c_source'} & set(sys.modules))"],
                          capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -- scikit-learn ----------------------------------------------------------------------------------

def sklearn_data(kind, dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 6)).astype(dtype)
    score = x @ rng.standard_normal((6, 3))
    targets = {
        "two classes": score[:, 0] > 0,
        "classes": np.array(["a", "b", "c"])[score.argmax(axis=1)],
        "labels": (score > 0) * 1,
        "numbers": score[:, 0],
        "several numbers": score,
        "counts": np.abs(score[:, 0]),
    }
    return x, targets[kind]


@every_dtype
@pytest.mark.parametrize("package", ["sklearn.neural_network", "nnfast"])
@pytest.mark.parametrize("kind, activation", [
    *itertools.product(["two classes", "classes", "labels"], ["relu"]),
    *itertools.product(["numbers", "several numbers"], ["identity", "logistic", "tanh", "relu"]),
    ("counts", "tanh"),
])
def test_a_model_from_scikit_learn_predicts_the_same(kind, activation, package, dtype):
    needs("sklearn", minversion="1.7")
    module = __import__(package, fromlist=["MLPClassifier"])
    x, y = sklearn_data(kind, dtype)
    classifier = kind in ("two classes", "classes", "labels")
    options = {"loss": "poisson"} if kind == "counts" else {}
    estimator = module.MLPClassifier if classifier else module.MLPRegressor
    mlp = estimator(hidden_layer_sizes=(7, 5), activation=activation, random_state=0, **options)
    if classifier:
        mlp.partial_fit(x, y, classes=np.unique(y) if kind != "labels" else [0, 1, 2])
    else:
        mlp.partial_fit(x, y)
    model = nnfast.from_sklearn(mlp)
    assert model.dtype == dtype
    expected = mlp.predict_proba(x) if classifier else mlp.predict(x).reshape(1000, -1)
    if kind == "two classes":
        expected = expected[:, 1:]
        np.testing.assert_array_equal(mlp.classes_[(model.predict(x)[:, 0] > 0.5) * 1], mlp.predict(x))
    elif kind == "classes":
        np.testing.assert_array_equal(mlp.classes_[model.predict(x).argmax(axis=1)], mlp.predict(x))
    assert_close(model.predict(x), expected, "interchange", dtype)

    coefs, intercepts = interchange.sklearn_weights(model)
    assert_same_bytes([*coefs, *intercepts], [*mlp.coefs_, *mlp.intercepts_])


def test_a_model_from_our_estimators_keeps_an_activation_per_layer():
    needs("sklearn", minversion="1.7")
    x, y = sklearn_data("several numbers", "float64")
    activations = ["gelu", "logistic", nnfast.activations.selu]
    mlp = nnfast.MLPRegressor(hidden_layer_sizes=(5, 4, 3), activation=activations, random_state=0)
    mlp.partial_fit(x, y)
    model = nnfast.from_sklearn(mlp)
    assert [layer.activation for layer in model.layers[1:]] == ["gelu", "sigmoid", "selu", "linear"]
    assert_close(model.predict(x), mlp.predict(x), "interchange")


def test_weights_of_a_model_predict_the_same_in_scikit_learn():
    network = needs("sklearn.neural_network")
    x, y = sklearn_data("several numbers", "float64")
    stack = [Input((2, 3)), Flatten(), Dense(5), Activation("tanh"), Dense(4, "tanh", use_bias=False), Dense(3)]
    model = with_weights(stack, "float64")
    mlp = network.MLPRegressor(hidden_layer_sizes=(5, 4), activation="tanh").partial_fit(x, y)
    mlp.coefs_, mlp.intercepts_ = interchange.sklearn_weights(model)
    assert_close(mlp.predict(x), model.predict(x), "interchange")
    x, y = sklearn_data("classes", "float64")
    model = with_weights([Input(6), Dense(5, "relu"), Dense(3, "softmax")], "float64")
    mlp = network.MLPClassifier((5,)).partial_fit(x, y, classes=["a", "b", "c"])
    mlp.coefs_, mlp.intercepts_ = interchange.sklearn_weights(model)
    assert_close(mlp.predict_proba(x), model.predict(x), "interchange")


def test_dropout_of_our_estimators_is_read_but_not_written_for_scikit_learn():
    needs("sklearn", minversion="1.7")
    x, y = sklearn_data("several numbers", "float64")
    for dropout, rates in [(0.2, [(2, 0.2), (4, 0.2)]), ([0.0, 0.5], [(3, 0.5)]), (0, [])]:
        mlp = nnfast.MLPRegressor(hidden_layer_sizes=(5, 4), dropout=dropout, random_state=0).partial_fit(x, y)
        model = nnfast.from_sklearn(mlp)
        assert [(i, layer.rate) for i, layer in enumerate(model.layers) if isinstance(layer, Dropout)] == rates
        assert_close(model.predict(x), mlp.predict(x), "interchange")
        coefs, intercepts = interchange.sklearn_weights(model)
        assert_same_bytes([*coefs, *intercepts], [*mlp.coefs_, *mlp.intercepts_])


@pytest.mark.parametrize("stack, what", [
    ([Dense(3, "relu"), Dense(3, "tanh"), Dense(1)], r"one activation in all hidden.*\['relu', 'tanh'\]"),
    ([Dense(3, "gelu"), Dense(1)], r"linear, sigmoid, tanh or relu; got \['gelu'\]"),
    ([Dense(3, "relu"), Dense(1, "elu")], "end with .* got 'elu'"),
    ([Activation("relu"), Dense(1)], r"after each Dense.*Activation\('relu'\)"),
    ([Dense(3, "relu"), Activation("tanh"), Dense(1)], r"after each Dense.*Activation\('tanh'\)"),
    ([BatchNormalization(), Dense(1)], r"sklearn_weights cannot write the layer BatchNormalization"),
    ([Rescaling(2), Dense(1)], r"sklearn_weights cannot write the layer Rescaling"),
])
def test_a_model_that_scikit_learn_cannot_express_is_refused(stack, what):
    with pytest.raises(ValueError, match=what):
        interchange.sklearn_weights(nnfast.Sequential([Input(2), *stack]))


def test_an_estimator_without_weights_is_refused():
    network = needs("sklearn.neural_network")
    linear = needs("sklearn.linear_model")
    with pytest.raises(ValueError, match="mlp must be fitted.*MLPClassifier"):
        nnfast.from_sklearn(network.MLPClassifier())
    with pytest.raises(TypeError, match="mlp must be an MLPClassifier or MLPRegressor, got LinearRegression"):
        nnfast.from_sklearn(linear.LinearRegression())


# -- PyTorch ---------------------------------------------------------------------------------------

def torch_activations():
    from torch import nn

    return {
        "relu": nn.ReLU(), "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "softmax": nn.Softmax(dim=1),
        "leaky_relu": nn.LeakyReLU(0.2), "elu": nn.ELU(), "selu": nn.SELU(), "gelu": nn.GELU(),
        "gelu_tanh": nn.GELU(approximate="tanh"), "silu": nn.SiLU(), "softplus": nn.Softplus(),
        "softsign": nn.Softsign(), "mish": nn.Mish(), "hard_sigmoid": nn.Hardsigmoid(), "linear": nn.Identity(),
    }


@every_dtype
@every_activation
def test_a_model_from_torch_predicts_the_same(torch, name, dtype):
    nn = torch.nn
    torch.manual_seed(0)
    if name == "exponential":
        pytest.skip("PyTorch has no such module")
    f = torch_activations()[name]
    theirs = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 9), f, nn.Dropout(0.5), nn.Sequential(nn.Linear(9, 5, bias=False), nn.Flatten(), f),
        nn.Linear(5, 4), f)
    theirs = theirs.to(getattr(torch, dtype)).eval()
    ours = nnfast.from_torch(theirs)
    assert ours.dtype == dtype
    x = 3 * np.random.default_rng(0).standard_normal((1000, 2, 3)).astype(dtype)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)).numpy()
    rough = name == "softplus"                          # PyTorch's is linear above 20: 2e-9 off
    assert_close(ours.predict(x), expected, "interchange", "float32" if rough else dtype)


@every_dtype
@every_activation
def test_weights_of_a_model_predict_the_same_in_torch(torch, name, dtype):
    """The stack is built by hand, so that PyTorch names the keys."""
    nn = torch.nn
    if name == "exponential":
        pytest.skip("PyTorch has no such module")
    f = torch_activations()[name]
    stack = [Input((2, 3)), Flatten(), Dense(9, name), Dense(5, use_bias=False), Activation(name), Dense(4)]
    model = with_weights(stack, dtype)
    theirs = nn.Sequential(nn.Flatten(), nn.Linear(6, 9), *([f] if name != "linear" else []),
                           nn.Linear(9, 5, bias=False), f, nn.Linear(5, 4))
    theirs = theirs.to(getattr(torch, dtype))
    theirs.load_state_dict({key: torch.from_numpy(array) for key, array in interchange.torch_weights(model).items()})
    x = np.random.default_rng(0).standard_normal((1000, 2, 3)).astype(dtype)
    with torch.no_grad():
        assert_close(theirs(torch.from_numpy(x)).numpy(), model.predict(x), "interchange", dtype)
    back = nnfast.from_torch(theirs)
    assert back.params.tobytes() == model.params.tobytes()
    # from_torch leaves Identity out
    assert name == "linear" or list(interchange.torch_weights(back)) == list(theirs.state_dict())


def torch_stack(dtype):
    """A PyTorch stack with every module that is a layer in nnfast, and the layers of nnfast.

    Weights and running statistics differ from their initial values.
    """
    import torch
    from torch import nn

    torch.manual_seed(0)
    theirs = nn.Sequential(
        nn.Dropout(0.1), nn.Flatten(), nn.BatchNorm1d(6, eps=1e-4, momentum=0.25), nn.Linear(6, 9),
        nn.BatchNorm1d(9, affine=False), nn.PReLU(9), nn.LayerNorm(9), nn.Linear(9, 5, bias=False),
        nn.LayerNorm(5, eps=1e-3, elementwise_affine=False), nn.Tanh(), nn.LayerNorm(5, bias=False), nn.Dropout(0.5),
        nn.Linear(5, 3)).to(getattr(torch, dtype))
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for _ in range(3):                              # new modules are in training mode: running statistics change
            theirs(1 + 2 * torch.randn((20, 2, 3), dtype=getattr(torch, dtype)))
    ours = [Input(6), Dropout(0.1), Flatten(), BatchNormalization(epsilon=1e-4, momentum=0.75), Dense(9),
            BatchNormalization(epsilon=1e-5, momentum=0.9, center=False, scale=False), PReLU(),
            LayerNormalization(epsilon=1e-5), Dense(5, use_bias=False), LayerNormalization(center=False, scale=False),
            Activation("tanh"), LayerNormalization(epsilon=1e-5, center=False), Dropout(0.5), Dense(3)]
    return theirs.eval(), ours


@every_dtype
def test_layers_from_torch_predict_the_same_and_return_unchanged(torch, dtype):
    theirs, layers_of_ours = torch_stack(dtype)
    assert int(theirs[2].num_batches_tracked) == 3
    ours = nnfast.from_torch(theirs)
    assert ours.layers == layers_of_ours
    x = np.random.default_rng(0).standard_normal((1000, 2, 3)).astype(dtype)
    with torch.no_grad():
        assert_close(ours.predict(x), theirs(torch.from_numpy(x)).numpy(), "interchange", dtype)
    back, state = interchange.torch_weights(ours), theirs.state_dict()
    assert list(back) == list(state)
    for name, array in back.items():
        assert name.endswith("num_batches_tracked") or array.tobytes() == state[name].numpy().tobytes()


@every_dtype
def test_layers_trained_here_predict_the_same_in_torch(torch, dtype):
    nn = torch.nn
    more = [GaussianNoise(0.1), BatchNormalization(scale=False), LayerNormalization(scale=False)]
    model = trained([Input(6), *torch_stack(dtype)[1][1:], *more], dtype)
    more = [nn.Identity(), nn.BatchNorm1d(3, eps=1e-3), nn.LayerNorm(3, eps=1e-3)]
    theirs = nn.Sequential(*torch_stack(dtype)[0], *more)
    theirs = theirs.to(getattr(torch, dtype)).eval()
    theirs.load_state_dict({key: torch.from_numpy(array) for key, array in interchange.torch_weights(model).items()})
    x = np.random.default_rng(0).standard_normal((1000, 2, 3)).astype(dtype)
    with torch.no_grad():
        assert_close(theirs(torch.from_numpy(x)).numpy(), model.predict(x), "interchange", dtype)


def test_moving_averages_from_torch_continue_as_in_torch(torch):
    """In float64, on one batch. PyTorch's variance has the additional factor n / (n - 1)."""
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3, momentum=0.3)).double()
    x = np.random.default_rng(0).standard_normal((50, 4))
    ours = nnfast.from_torch(theirs)
    ours.compile(nnfast.optimizers.SGD(0.0), "mse")
    ours.train_on_batch(x, np.zeros((50, 3)))
    theirs(torch.from_numpy(x))
    mean, variance = ours.get_weights()[-2:]
    assert_close(mean, theirs[1].running_mean.numpy(), "interchange")
    assert_close(0.7 + (variance - 0.7) * 50 / 49, theirs[1].running_var.numpy(), "interchange")


def test_a_single_alpha_of_torch_is_used_for_all_columns(torch):
    nn = torch.nn
    x = np.random.default_rng(0).standard_normal((1000, 4)).astype("float32")
    for theirs in (nn.Sequential(nn.PReLU(init=0.3), nn.Linear(4, 3), nn.PReLU(), nn.Linear(3, 1), nn.PReLU()),
                   nn.Sequential(nn.PReLU(4), nn.Linear(4, 3))):
        ours = nnfast.from_torch(theirs)
        with torch.no_grad():
            assert_close(ours.predict(x), theirs(torch.from_numpy(x)).numpy(), "interchange", "float32")


@pytest.mark.parametrize("layer", [Rescaling(2), Normalization(0, 1)])
def test_a_layer_missing_in_torch_is_refused(layer):
    with pytest.raises(ValueError, match=f"torch_weights cannot write the layer {type(layer).__name__}"):
        interchange.torch_weights(nnfast.Sequential([Input(2), layer, Dense(1)]))


def torch_refusals():
    from torch import nn

    class ReLU(nn.Module):
        pass

    class Stack(nn.Sequential):
        pass

    hooked = nn.Tanh()
    hooked.register_forward_hook(lambda module, args, output: output + 1)
    return {
        "leaky": (nn.LeakyReLU(), "LeakyReLU has another negative_slope.*must be 0.2, got 0.01"),
        "elu": (nn.ELU(alpha=0.5), "ELU has another alpha.*got 0.5"),
        "softplus beta": (nn.Softplus(beta=2), "Softplus has another beta.*got 2"),
        "softplus threshold": (nn.Softplus(threshold=5), "threshold of at least 20.*got 5"),
        "softmax": (nn.Softmax(dim=0), "Softmax has another dim.*got 0"),
        "log_softmax": (nn.LogSoftmax(dim=1), "cannot read the layer LogSoftmax"),
        "relu6": (nn.ReLU6(), "cannot read the layer ReLU6"),
        "instance norm": (nn.InstanceNorm1d(4), "cannot read the layer InstanceNorm1d"),
        "batch": (nn.BatchNorm1d(4, track_running_stats=False),
                  "BatchNorm1d has another track_running_stats.*must be True, got False"),
        "mean of batches": (nn.BatchNorm1d(4, momentum=None), "must have a momentum"),
        "axes": (nn.LayerNorm((2, 4)), r"LayerNorm must be over one axis; got normalized_shape \(2, 4\)"),
        "channels": (nn.BatchNorm1d(2),
                     r"BatchNormalization has weights of the shapes \[\(2,\), .* but its input has 4 columns"),
        "prelu of channels": (nn.PReLU(2), r"PReLU has weights of the shapes \[\(2,\)\], but its input has 4 columns"),
        "all dropped": (nn.Dropout(1.0), r"rate must be in \[0, 1\), got 1.0"),
        "half norm": (nn.LayerNorm(4).half(), "float32 or float64; got torch.float16"),
        "own": (ReLU(), "cannot read the layer ReLU of"),
        "own stack": (Stack(nn.Tanh()), "cannot read the layer Stack of"),
        "flatten": (nn.Flatten(start_dim=0), "Flatten has another start_dim.*got 0"),
        "flatten end": (nn.Flatten(end_dim=2), "Flatten has another end_dim.*got 2"),
        "hook": (hooked, "Tanh has a forward hook"),
        "weight_norm": (nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
                        "cannot read the layer ParametrizedLinear"),
        "half": (nn.Linear(4, 4).half(), "float32 or float64; got torch.float16"),
        "double": (nn.Linear(4, 4).double(), "weights of one dtype.*float32, float64"),
        "last axis": (nn.Linear(12, 4),
                      r"Dense has weights of the shapes \[\(12, 4\), \(4,\)\], but its input has 4 columns"),
    }


def test_torch_modules_without_an_equal_layer_are_refused(torch):
    for module, what in torch_refusals().values():
        with pytest.raises(ValueError, match=what):
            nnfast.from_torch(torch.nn.Sequential(torch.nn.Linear(3, 4), module))


def test_a_normalisation_before_flatten_is_refused(torch):
    """In rows of several axes, PyTorch normalizes over the channels or the last axis."""
    nn = torch.nn
    for module in (nn.BatchNorm1d(2), nn.LayerNorm(3), nn.LayerNorm(3, elementwise_affine=False), nn.PReLU(2),
                   nn.Softmax(dim=1)):
        with pytest.raises(ValueError, match="rows must be flat between|Flatten must stand before"):
            nnfast.from_torch(nn.Sequential(module, nn.Flatten(), nn.Linear(6, 4)))


def test_only_a_torch_sequential_with_a_linear_is_read(torch):
    with pytest.raises(TypeError, match="reads torch.nn.Sequential, got torch.nn.*Linear"):
        nnfast.from_torch(torch.nn.Linear(2, 3))
    with pytest.raises(TypeError, match="reads torch.nn.Sequential, got nnfast.*Sequential"):
        nnfast.from_torch(nnfast.Sequential())
    with pytest.raises(ValueError, match="at least one Linear"):
        nnfast.from_torch(torch.nn.Sequential(torch.nn.ReLU()))


# -- Keras: stand-ins with its public attributes, and Keras itself where it is installed -----------

def stand_in(kind, weights=(), module="keras.src.layers", **attributes):
    """An object whose class has this name and module."""
    made = type(kind, (SimpleNamespace,), {"__module__": module})(**attributes)
    made.get_weights = lambda: list(weights)
    return made


def keras_function(name, module="keras.src.activations.activations"):
    function = FunctionType((lambda x: x).__code__, {"__name__": module}, name)
    function.__name__ = name
    return function


def keras_dense(n_in, units, activation="linear", use_bias=True, dtype="float32", **attributes):
    rng = np.random.default_rng(units)
    weights = [rng.normal(0, 0.3, shape).astype(dtype) for shape in [(n_in, units), (units,)][:1 + use_bias]]
    return stand_in("Dense", weights, activation=keras_function(activation), use_bias=use_bias, **attributes)


def keras_stack(*stack, shape=(6,), **attributes):
    return stand_in("Sequential", module="keras.src.models.sequential", built=True, layers=list(stack),
                    input_shape=(None, *shape), **attributes)


def keras_chain(*stack, shape=(6,)):
    """A functional model: an object stands for each tensor between two layers."""
    tensors = [object() for _ in range(len(stack) + 1)]
    for layer, start, end in zip(stack, tensors, tensors[1:]):
        layer.input, layer.output = start, end
    return stand_in("Functional", module="keras.src.models.functional", built=True, input_shape=(None, *shape),
                    layers=[stand_in("InputLayer"), *stack], inputs=[tensors[0]], outputs=[tensors[-1]])


def keras_norm(kind, n, center=True, scale=True, axis=-1, more=(), **attributes):
    """A normalization; with a momentum, it also has a moving mean and variance."""
    rng = np.random.default_rng(n)
    count = center + scale + 2 * ("momentum" in attributes)
    weights = [rng.uniform(0.5, 2, n).astype("float32") for _ in range(count)]
    return stand_in(kind, [*weights, *more], center=center, scale=scale, axis=axis, **{"epsilon": 1e-3} | attributes)


LEFT_OUT = ["AlphaDropout", "GaussianDropout", "ActivityRegularization", "Identity"]


@every_dtype
@pytest.mark.parametrize("form", [keras_stack, keras_chain])
def test_a_model_from_keras_has_its_layers_and_weights(form, dtype):
    first, second = keras_dense(6, 5, "gelu", dtype=dtype), keras_dense(5, 4, use_bias=False, dtype=dtype)
    stack = [stand_in("Flatten", data_format="channels_last"), first, *map(stand_in, LEFT_OUT), second,
             stand_in("Softmax", axis=-1)]
    model = nnfast.from_keras(form(*stack, shape=(2, 3)))
    assert model.layers == [Input((2, 3)), Flatten(), Dense(5, "gelu"), Dense(4, use_bias=False), Activation("softmax")]
    assert model.dtype == dtype
    assert_same_bytes(model.get_weights(), first.get_weights() + second.get_weights())


def test_layers_from_keras_have_their_options_and_weights():
    batch = keras_norm("BatchNormalization", 5, momentum=0.9)
    bare = keras_norm("BatchNormalization", 5, False, False, 1, momentum=0.5, epsilon=1e-2)
    row = keras_norm("LayerNormalization", 5, axis=[-1], rms_scaling=False)
    half = keras_norm("LayerNormalization", 5, scale=False)
    prelu = stand_in("PReLU", [np.arange(5, dtype="float32")], shared_axes=None)
    model = nnfast.from_keras(keras_stack(
        stand_in("Rescaling", scale=0.5, offset=-1), stand_in("Dropout", rate=0.2, noise_shape=None),
        stand_in("GaussianNoise", stddev=0.1), stand_in("Flatten", data_format="channels_last"), keras_dense(6, 5),
        batch, bare, row, half, prelu,
        stand_in("Normalization", axis=(-1,), mean=np.arange(5.).reshape(1, 5), variance=np.ones((1, 5)), invert=False),
        stand_in("Flatten", data_format="channels_last"),
        stand_in("Normalization", axis=(), mean=np.full((1, 1), 2.), variance=np.full((1, 1), 3.), invert=True),
        stand_in("Rescaling", scale=[1, 2, 3, 4, 5], offset=np.array([0.5])), keras_dense(5, 4), shape=(2, 3)))
    assert model.layers == [
        Input((2, 3)), Rescaling(0.5, -1.), Dropout(0.2), GaussianNoise(0.1), Flatten(), Dense(5),
        BatchNormalization(momentum=0.9), BatchNormalization(momentum=0.5, epsilon=1e-2, center=False, scale=False),
        LayerNormalization(), LayerNormalization(scale=False), PReLU(),
        Normalization([0, 1, 2, 3, 4.], [1, 1, 1, 1, 1.]), Normalization(2., 3., invert=True),
        Rescaling([1, 2, 3, 4, 5.], 0.5), Dense(4)]
    theirs = [array for layer in (batch, bare, row, half, prelu) for array in layer.get_weights()]
    assert [array.tobytes() for array in model.get_weights()[2:-2]] == [array.tobytes() for array in theirs]


def keras_refusals():
    behind = {
        "slope": (stand_in("LeakyReLU", negative_slope=0.3),
                  "LeakyReLU has another negative_slope.*must be 0.2, got 0.3"),
        "relu6": (stand_in("ReLU", negative_slope=0., max_value=6., threshold=0.),
                  "ReLU has another max_value.*must be None, got 6.0"),
        "relu threshold": (stand_in("ReLU", negative_slope=0., max_value=None, threshold=1.),
                           "ReLU has another threshold.*got 1.0"),
        "elu": (stand_in("ELU", alpha=0.5), "ELU has another alpha.*got 0.5"),
        "old elu": (stand_in("ELU"), "ELU has another alpha.*got 'missing'"),
        "softmax": (stand_in("Softmax", axis=0), "Softmax has another axis.*got 0"),
        "activation": (stand_in("Activation", activation=keras_function("hard_silu")),
                       "Activation has the activation 'hard_silu'"),
        "own activation": (keras_dense(5, 4), "Dense has the activation 'relu' of mine"),
        "object": (keras_dense(5, 4), "Dense has the activation .*LeakyReLU"),
        "lora": (keras_dense(5, 4), r"and no other weights; got shapes \[\(5, 4\), \(4,\), \(5, 2\), \(2, 4\)\]"),
        "mixed": (keras_dense(5, 4, compute_dtype="bfloat16"), "computes in bfloat16 with weights in float32"),
        "half": (keras_dense(5, 4, dtype="float16"), "one dtype, float32 or float64; got float16, float32"),
        "unknown": (stand_in("GroupNormalization"), "cannot read the layer GroupNormalization"),
        "axis": (keras_norm("BatchNormalization", 5, axis=0, momentum=0.9),
                 "BatchNormalization has another axis.*got 0"),
        "axes": (keras_norm("LayerNormalization", 5, axis=[1, 2]),
                 r"LayerNormalization has another axis.*got \[1, 2\]"),
        "rms": (keras_norm("LayerNormalization", 5, center=False, rms_scaling=True),
                "LayerNormalization has another rms_scaling.*must be False, got True"),
        "renorm": (keras_norm("BatchNormalization", 5, momentum=0.9, more=[np.ones(5, "f")] * 3),
                   r"no other weights; got shapes \[\(5,\), .*\]"),
        "mixed norm": (keras_norm("LayerNormalization", 5, compute_dtype="bfloat16"),
                       "computes in bfloat16 with weights in float32"),
        "shared": (stand_in("PReLU", [np.ones(1, "f")], shared_axes=[1]), r"PReLU has another shared_axes.*got \[1\]"),
        "rows": (stand_in("Normalization", axis=(0,), mean=np.ones((5, 1)), variance=np.ones((5, 1)), invert=False),
                 r"another axis.*got \(0,\)"),
        "noise": (stand_in("Dropout", rate=0.5, noise_shape=(None, 1)),
                  r"Dropout has another noise_shape.*got \(None, 1\)"),
        "all dropped": (stand_in("Dropout", rate=1, noise_shape=None), r"rate must be in \[0, 1\), got 1"),
        "nested": (stand_in("Sequential"), "cannot read the layer Sequential"),
        "own": (stand_in("Dense", module="mine"), "cannot read the layer Dense of mine"),
    }
    behind["own activation"][0].activation = keras_function("relu", "mine")
    behind["object"][0].activation = stand_in("LeakyReLU", negative_slope=0.2)
    weights = [*behind["lora"][0].get_weights(), np.zeros((5, 2), "f"), np.zeros((2, 4), "f")]
    behind["lora"][0].get_weights = lambda: weights
    return behind


@pytest.mark.parametrize("case", keras_refusals())
def test_keras_layers_without_an_equal_layer_are_refused(case):
    layer, what = keras_refusals()[case]
    with pytest.raises(ValueError, match=what):
        nnfast.from_keras(keras_stack(keras_dense(6, 5), layer))


def test_keras_models_that_are_not_one_built_chain_are_refused():
    for model in [nnfast.Sequential(), stand_in("Sequential", module="mine"), stand_in("MyModel", module="keras.mine")]:
        with pytest.raises(TypeError, match="reads keras.Sequential and functional models, got"):
            nnfast.from_keras(model)
    model = keras_stack(keras_dense(6, 5))
    model.built = False
    with pytest.raises(ValueError, match="must be built"):
        nnfast.from_keras(model)
    with pytest.raises(ValueError, match=r"known shape; got \(None, 6\)"):
        nnfast.from_keras(keras_stack(keras_dense(6, 5), shape=(None, 6)))
    with pytest.raises(ValueError, match=r"flat before Dense; they have the shape \(4, 6\)"):
        nnfast.from_keras(keras_stack(keras_dense(6, 5), shape=(4, 6)))
    for layer in (keras_norm("LayerNormalization", 6), stand_in("Rescaling", scale=[1, 2, 3, 4, 5, 6], offset=0),
                  stand_in("Softmax", axis=-1)):
        message = r"flat before (LayerNormalization|Rescaling|Softmax); they have the shape \(4, 6\)"
        with pytest.raises(ValueError, match=message):
            nnfast.from_keras(keras_stack(layer, shape=(4, 6)))
    with pytest.raises(ValueError, match="Flatten has another data_format"):
        flatten = stand_in("Flatten", data_format="channels_first")
        nnfast.from_keras(keras_stack(flatten, keras_dense(6, 5), shape=(2, 3)))
    model = keras_chain(keras_dense(6, 5), keras_dense(5, 4))
    model.inputs = [*model.inputs, object()]
    with pytest.raises(ValueError, match="one input and one output; got 2 and 1"):
        nnfast.from_keras(model)
    model = keras_chain(keras_dense(6, 5), keras_dense(5, 4))
    model.layers[2].input = object()
    with pytest.raises(ValueError, match="must be one chain"):
        nnfast.from_keras(model)
    model = keras_chain(keras_dense(6, 6))
    model.outputs = [object()]                          # as if the layer was called twice
    with pytest.raises(ValueError, match="must be one chain"):
        nnfast.from_keras(model)


def test_only_keras_3_is_read(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(__version__="2.15.0"))
    with pytest.raises(ValueError, match="Keras 3, whose formulas nnfast has; got Keras 2.15.0"):
        nnfast.from_keras(keras_stack(keras_dense(6, 5)))


@every_dtype
@every_activation
def test_keras_predicts_the_same_in_both_directions(keras, name, dtype):
    if name == "gelu_tanh":
        pytest.skip("Keras has no such name")
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        compare_with_keras(keras, name, dtype)
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(before)


def compare_with_keras(keras, name, dtype):
    """Compares with the tolerances of float32.

    In float64, each backend rounds some activations: JAX tanh, TensorFlow gelu (Keras 3.15).
    """
    scale = 0.1 if name == "exponential" else 0.3
    stack = [keras.layers.Flatten(), keras.layers.Dense(9, name), keras.layers.Dropout(0.5),
             keras.layers.Dense(5, use_bias=False), keras.layers.Activation(name), keras.layers.Dense(4, name)]
    tensor = given = keras.Input((2, 3))
    for layer in stack:
        tensor = layer(tensor)
    x = np.random.default_rng(0).standard_normal((1000, 2, 3)).astype(dtype)
    for theirs in (keras.Model(given, tensor), keras.Sequential([given, *stack])):
        theirs.set_weights([np.random.default_rng(2).normal(0, scale, array.shape) for array in theirs.get_weights()])
        if theirs.get_weights()[0].dtype != dtype:
            pytest.skip("this backend of Keras has no float64")         # JAX without JAX_ENABLE_X64
        ours = nnfast.from_keras(theirs)
        assert ours.dtype == dtype
        assert_same_bytes(ours.get_weights(), theirs.get_weights())
        assert_close(ours.predict(x), theirs.predict(x, verbose=0), "interchange", "float32")
        ours = with_weights(ours.layers, dtype, scale, seed=1)
        theirs.set_weights(ours.get_weights())
        assert_close(theirs.predict(x, verbose=0), ours.predict(x), "interchange", "float32")


def test_keras_activation_layers_predict_the_same(keras):
    x = 3 * np.random.default_rng(0).standard_normal((1000, 6)).astype("float32")
    for layer in (keras.layers.ReLU(), keras.layers.LeakyReLU(negative_slope=0.2), keras.layers.ELU(),
                  keras.layers.Softmax(), keras.layers.Activation("swish")):
        theirs = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5), layer])
        assert_close(nnfast.from_keras(theirs).predict(x), theirs.predict(x, verbose=0), "interchange", "float32")
    for layer, what in [(keras.layers.ReLU(6), "max_value"), (keras.layers.LeakyReLU(), "negative_slope"),
                        (keras.layers.ELU(0.5), "alpha"),
                        (keras.layers.GroupNormalization(1), "cannot read the layer GroupNormalization"),
                        (keras.layers.PReLU(shared_axes=[1]), "shared_axes"),
                        (keras.layers.BatchNormalization(renorm=True), "no other weights"),
                        (keras.layers.Dropout(0.5, noise_shape=(None, 1)), "noise_shape"),
                        (keras.layers.LayerNormalization(rms_scaling=True), "rms_scaling"),
                        (keras.layers.Dense(3, activation=lambda x: x), "<lambda>"),
                        (keras.layers.Dense(3, activation="log_softmax"), "log_softmax"),
                        (keras.layers.Dense(3, activation=keras.layers.LeakyReLU()), "LeakyReLU"),
                        (keras.layers.Dense(3, dtype="mixed_bfloat16"), "bfloat16")]:
        with pytest.raises(ValueError, match=what):
            nnfast.from_keras(keras.Sequential([keras.Input((6,)), keras.layers.Dense(5), layer]))


def test_trained_keras_layers_predict_the_same_in_both_directions(keras):
    rng = np.random.default_rng(0)
    adapted = keras.layers.Normalization()
    adapted.adapt(5 + 2 * rng.standard_normal((100, 6)))
    stack = [keras.layers.Rescaling(2, offset=1), keras.layers.GaussianNoise(0.1), keras.layers.Dropout(0.1),
             keras.layers.Flatten(), adapted, keras.layers.Dense(9, use_bias=False), keras.layers.BatchNormalization(),
             keras.layers.PReLU("ones"), keras.layers.LayerNormalization(),
             keras.layers.BatchNormalization(axis=1, center=False, epsilon=1e-2),
             keras.layers.LayerNormalization(scale=False, epsilon=1e-5),
             keras.layers.Normalization(axis=None, mean=1.5, variance=4.0, invert=True), keras.layers.Dropout(0.2),
             keras.layers.Dense(5),
             keras.layers.Normalization(mean=[1, 2, 3, 4, 5.], variance=[1, 2, 0, 4, 5.], invert=True),
             keras.layers.Rescaling([1, 2, 3, 4, 5.]), keras.layers.PReLU(),
             keras.layers.BatchNormalization(center=False, scale=False)]
    theirs = keras.Sequential([keras.Input((2, 3)), *stack])
    x = 2 + 3 * rng.standard_normal((1000, 2, 3)).astype("float32")
    first = [array for layer in stack if layer is not adapted for array in layer.get_weights()]
    theirs.compile("adam", "mse")
    theirs.fit(x[:100], rng.standard_normal((100, 5)), epochs=2, verbose=0)
    weights = [array for layer in stack if layer is not adapted for array in layer.get_weights()]
    assert all((before != after).any() for before, after in zip(first, weights, strict=True))
    ours = nnfast.from_keras(theirs)
    assert [type(layer).__name__ for layer in ours.layers[1:]] == [type(layer).__name__ for layer in stack]
    assert_close(ours.predict(x), theirs.predict(x, verbose=0), "interchange", "float32")
    ours = trained(ours.layers)
    left = iter(ours.get_weights())
    for layer in stack:
        if layer is not adapted:
            layer.set_weights([next(left) for _ in layer.get_weights()])
    assert_close(theirs.predict(x, verbose=0), ours.predict(x), "interchange", "float32")
    assert next(left, None) is None


def test_functional_keras_models_with_branches_are_refused(keras):
    given, dense = keras.Input((6,)), keras.layers.Dense(6)
    inner = dense(given)
    for end, what in [(keras.layers.add([inner, given]), "one chain"), (dense(inner), "one chain"),
                      ([inner, given], "one output")]:
        with pytest.raises(ValueError, match=what):
            nnfast.from_keras(keras.Model(given, end))
    with pytest.raises(ValueError, match="must be built"):
        nnfast.from_keras(keras.Sequential([dense.__class__(3)]))


def test_reading_a_model_does_not_import_its_package(monkeypatch):
    """Readers know layers by name: a stand-in is read even if its package cannot be imported."""
    def without(name, *rest):
        if name.partition(".")[0] in ("keras", "torch", "sklearn", "onnx"):
            raise ImportError(name)
        return imported(name, *rest)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    assert nnfast.from_keras(keras_stack(keras_dense(6, 5))).predict(np.ones((2, 6))).shape == (2, 5)
