"""Optimizer steps against their formulas."""
import inspect
import pickle

import numpy as np
import pytest
import reference
from optimizer_cases import CASES, make
from tolerances import assert_close

import nnfast
from nnfast import functional as F, optimizers
from nnfast._core import network as core

DTYPES = [np.float32, np.float64]
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_kernel = pytest.mark.parametrize("kernel", core.OPTIMIZERS)
RATE = 0.05


def run_reference(kernel, w, gradients, options=None, rate=RATE):
    exact = reference.Optimizer(kernel, w.astype(np.float64), CASES[kernel][1] if options is None else options)
    for g in gradients:
        exact.step(g.astype(np.float64), rate)
    return exact.w, exact.slots


def run_core(optimizer, w, gradients):
    """Returns the weights and the state after steps on a copy of w."""
    kernel, settings = optimizer._kernel_and_settings()
    code, n_slots = core.OPTIMIZERS[kernel]
    w, slots = w.copy(), np.full((n_slots, w.size), optimizer._start(), w.dtype)
    for step, g in enumerate(gradients, 1):
        core.apply_optimizer(code, w, g, slots, settings, optimizer.learning_rate, step, optimizer.weight_decay or 0.)
    return w, slots


def problem(dtype, shape=(131,), steps=5):
    rng = np.random.default_rng(0)
    w = rng.standard_normal(shape).astype(dtype)
    return w, [rng.standard_normal(shape).astype(dtype) for _ in range(steps)]


@every_dtype
@every_kernel
@pytest.mark.parametrize("more", [{}, {"weight_decay": 0.3}], ids=repr)
def test_kernel_belongs_to_its_class_and_matches_the_formula(kernel, more, dtype):
    optimizer = make(kernel, RATE, **more)
    assert optimizer._kernel_and_settings()[0] == kernel
    w, gradients = problem(dtype)
    expected, expected_slots = run_reference(kernel, w, gradients, {**CASES[kernel][1], **more})
    actual, slots = run_core(optimizer, w, gradients)
    assert_close(actual, expected, "optimizer", dtype)
    for ours, slot in zip(slots, expected_slots, strict=True):
        assert_close(ours, slot, "optimizer", dtype)


@every_dtype
@every_kernel
def test_two_hundred_steps_follow_the_formula(kernel, dtype):
    w, gradients = problem(dtype, steps=200)
    actual, _ = run_core(make(kernel, 1e-3), w, gradients)
    assert_close(actual, run_reference(kernel, w, gradients, rate=1e-3)[0], "optimizer_200", dtype)


@every_kernel
def test_a_bad_gradient_leaves_a_bad_weight(kernel):
    """Training stops at weights that are not finite: no step may hide or spread NaN or infinity."""
    for bad in (np.nan, np.inf, -np.inf):
        w, gradients = problem(np.float32, steps=12)
        gradients[-1][3] = bad
        assert np.flatnonzero(~np.isfinite(run_core(make(kernel, RATE), w, gradients)[0])).tolist() == [3]


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_in_pytorch_form_adds_epsilon_to_the_corrected_root(amsgrad):
    options = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 0.1, "amsgrad": amsgrad, "epsilon_form": "pytorch"}
    w, gradients = problem(np.float64)
    expected, _ = run_reference("amsgrad" if amsgrad else "adam", w, gradients, options)
    actual, _ = run_core(optimizers.Adam(RATE, **options), w, gradients)
    assert_close(actual, expected, "optimizer")
    in_keras_form, _ = run_core(optimizers.Adam(RATE, **{**options, "epsilon_form": "keras"}), w, gradients)
    assert np.abs(actual - in_keras_form).max() > 1e-3


# kernel: options, the class in PyTorch, its options.  PyTorch's RMSprop adds epsilon elsewhere,
# hence 0 here; its momentum applies the learning rate elsewhere, hence the constant rate.
TORCH = {
    "sgd": ({}, "SGD", {}),
    "momentum": ({"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    "nesterov": ({"momentum": 0.9, "nesterov": True}, "SGD", {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ({"rho": 0.8, "epsilon": 0}, "RMSprop", {"alpha": 0.8, "eps": 0}),
    "rmsprop_momentum": (
        {"rho": 0.8, "epsilon": 0, "momentum": 0.5},
        "RMSprop",
        {"alpha": 0.8, "eps": 0, "momentum": 0.5},
    ),
    "adam": ({"epsilon": 0.1, "epsilon_form": "pytorch"}, "Adam", {"eps": 0.1}),
    "amsgrad": (
        {"epsilon": 0.1, "amsgrad": True, "epsilon_form": "pytorch"},
        "Adam",
        {"eps": 0.1, "amsgrad": True},
    ),
    "radam": ({"beta_2": 0.9}, "RAdam", {"betas": (0.9, 0.9)}),
    "adagrad": (
        {"initial_accumulator_value": 0.3, "epsilon": 0},
        "Adagrad",
        {"initial_accumulator_value": 0.3, "eps": 0},
    ),
    "adadelta": ({"rho": 0.8, "epsilon": 0.1}, "Adadelta", {"rho": 0.8, "eps": 0.1}),
}


@pytest.mark.parametrize("kernel", TORCH)
def test_steps_agree_with_pytorch_at_a_constant_rate(torch, kernel):
    options, name, peers = TORCH[kernel]
    w, gradients = problem(np.float64, steps=200)
    tensor = torch.tensor(w.copy(), requires_grad=True)
    peer = getattr(torch.optim, name)([tensor], lr=1e-3, **peers)
    for g in gradients:
        tensor.grad = torch.tensor(g)
        peer.step()
    actual, _ = run_core(CASES[kernel][0](1e-3, **options), w, gradients)
    assert_close(actual, tensor.detach().numpy(), "optimizer_200")


@pytest.mark.parametrize("name", ["AdamW", "RAdam"])
def test_decoupled_weight_decay_agrees_with_pytorch(torch, name):
    w, gradients = problem(np.float64, steps=200)
    tensor = torch.tensor(w.copy(), requires_grad=True)
    decoupled = {"decoupled_weight_decay": True} if name == "RAdam" else {}
    peer = getattr(torch.optim, name)([tensor], lr=0.01, weight_decay=0.3, **decoupled)
    for g in gradients:
        tensor.grad = torch.tensor(g)
        peer.step()
    form = {"epsilon": 1e-8, "epsilon_form": "pytorch"} if name == "AdamW" else {}
    actual, _ = run_core(getattr(optimizers, name)(0.01, weight_decay=0.3, **form), w, gradients)
    assert_close(actual, tensor.detach().numpy(), "optimizer_200")


def test_a_small_weight_decay_is_not_lost_in_float32():
    """Each step multiplies the weight by 1 - 3e-7; below 1, float32 has a spacing of 6e-8.

    1000 steps must take a weight of 1 to about 1 - 3e-4.
    """
    w = np.ones(1, np.float32)
    expected = 1 - 3e-4 * 1e-3 * 1000
    sgd, _ = core.OPTIMIZERS["sgd"]
    gradient, no_slots = np.zeros(1, np.float32), np.empty((0, 1), np.float32)
    for _ in range(1000):
        core.apply_optimizer(sgd, w, gradient, no_slots, [], 3e-4, 1, 1e-3)
    assert w[0] == pytest.approx(expected, abs=1e-4)


def test_nadam_continues_from_any_step_with_the_same_bits():
    """A network keeps the product of momenta between steps; a copy at step 300 recomputes it."""
    w, gradients = problem(np.float64, steps=300)
    kept = nnfast.Sequential([nnfast.Input(1), nnfast.Dense(1)], dtype="float64", seed=0)
    kept.compile(optimizers.Nadam(0.01), "mse")
    x, y = np.ones((4, 1)), np.zeros((4, 1))
    kept.fit(x, y, batch_size=1, epochs=75, verbose=0, shuffle=False)
    copied = pickle.loads(pickle.dumps(kept))
    kept.fit(x, y, batch_size=1, verbose=0, shuffle=False)
    copied.fit(x, y, batch_size=1, verbose=0, shuffle=False)
    assert kept.params.tobytes() == copied.params.tobytes()


STEPS = {       # kernel: function, names of its state arrays
    "sgd": (F.sgd_step, []),
    "momentum": (F.sgd_step, ["velocity"]),
    "nesterov": (F.sgd_step, ["velocity"]),
    "rmsprop": (F.rmsprop_step, ["v"]),
    "rmsprop_momentum": (F.rmsprop_step, ["v", "velocity"]),
    "rmsprop_centered": (F.rmsprop_step, ["v", "mean"]),
    "rmsprop_centered_momentum": (F.rmsprop_step, ["v", "mean", "velocity"]),
    "adam": (F.adam_step, ["m", "v"]),
    "amsgrad": (F.adam_step, ["m", "v", "largest"]),
    "radam": (F.radam_step, ["m", "v"]),
    "adagrad": (F.adagrad_step, ["total"]),
    "adadelta": (F.adadelta_step, ["v", "d"]),
    "adamax": (F.adamax_step, ["m", "u"]),
    "nadam": (F.nadam_step, ["m", "v"]),
    "lion": (F.lion_step, ["m"]),
}


def run_function(kernel, w, gradients, options, rate=RATE):
    """Returns the weights and the state arrays after steps of the function on a copy of w."""
    function, names = STEPS[kernel]
    accepted = inspect.signature(function).parameters
    w, slots = w.copy(), {name: np.full_like(w, options.get("initial_accumulator_value", 0)) for name in names}
    # passing a state array chooses the other options
    options = {name: value for name, value in options.items() if name in accepted}
    for step, g in enumerate(gradients, 1):
        function(w, g, **slots, **({"step": step} if "step" in accepted else {}), learning_rate=rate, **options)
    return w, slots.values()


def test_a_late_step_of_nadam_takes_no_longer():
    """The product of momenta has a factor per step; those after step 1000 are 1 and are skipped."""
    late = []
    for step in (10**5, 10**9):
        w, [g] = problem(np.float64, steps=1)
        F.nadam_step(w, g, np.zeros_like(w), np.ones_like(w), step)
        late.append(w)
    assert late[0].tobytes() == late[1].tobytes()
    w, [g] = problem(np.float64, steps=1)
    exact = reference.Optimizer("nadam", w.copy(), {})
    exact.slots[1][...], exact.steps = 1, 10**5 - 1
    exact.step(g, 0.001)
    assert_close(late[0], exact.w, "optimizer")


@every_dtype
@every_kernel
@pytest.mark.parametrize("more", [{}, {"weight_decay": 0.3}], ids=repr)
def test_step_of_a_function_matches_the_formula(kernel, more, dtype):
    options = {**CASES[kernel][1], **more}
    w, gradients = problem(dtype, (7, 11))
    expected, expected_slots = run_reference(kernel, w, gradients, options)
    actual, slots = run_function(kernel, w, gradients, options)
    for ours, exact in zip((actual, *slots), (expected, *expected_slots), strict=True):
        assert ours.dtype == dtype
        assert_close(ours, exact, "optimizer", dtype)


@pytest.mark.parametrize("largest", [False, True])
def test_adam_step_in_pytorch_form_matches_the_formula(largest):
    kernel = "amsgrad" if largest else "adam"
    options = {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 0.1, "epsilon_form": "pytorch"}
    w, gradients = problem(np.float64)
    expected, _ = run_reference(kernel, w, gradients, {**options, "amsgrad": largest})
    assert_close(run_function(kernel, w, gradients, options)[0], expected, "optimizer")


DEFAULTS = {    # those of Keras 3.15, for RAdam those of PyTorch 2.13
    "SGD": {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False},
    "RMSprop": {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False},
    "Adam": {
        "learning_rate": 0.001,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "amsgrad": False,
        "epsilon_form": "keras",
    },
    "AdamW": {
        "learning_rate": 0.001,
        "beta_1": 0.9,
        "beta_2": 0.999,
        "epsilon": 1e-7,
        "amsgrad": False,
        "epsilon_form": "keras",
        "weight_decay": 0.004,
    },
    "Adagrad": {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7},
    "Adadelta": {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-7},
    "Adamax": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "Nadam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "Lion": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99},
    "RAdam": {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
}
COMMON = {
    "weight_decay": None,
    "clipnorm": None,
    "clipvalue": None,
    "global_clipnorm": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "gradient_accumulation_steps": None,
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_match_the_peer(name):
    made = optimizers.get(name.lower())
    assert type(made).__name__ == name and vars(made) == {**COMMON, **DEFAULTS[name]}
    assert set(optimizers._NAMES) - {"lbfgs"} == {name.lower() for name in DEFAULTS}


@pytest.mark.parametrize("name", sorted(set(DEFAULTS) - {"AdamW"}))
def test_defaults_of_functions_match_the_classes(name):
    parameters = inspect.signature(getattr(F, f"{name.lower()}_step")).parameters.values()
    options = {option.name: option.default for option in parameters if option.kind == option.KEYWORD_ONLY}
    assert options.pop("weight_decay") == 0
    chosen_by_arrays = {"initial_accumulator_value", "amsgrad", "centered"}
    assert options == {option: value for option, value in DEFAULTS[name].items() if option not in chosen_by_arrays}


def test_every_optimizer_has_a_function():
    assert STEPS.keys() == core.OPTIMIZERS.keys()
    steps = {name for name in F.__all__ if name.endswith("_step")}
    assert {function.__name__ for function, _ in STEPS.values()} == steps


def test_first_adam_step_has_the_length_of_the_learning_rate():
    """The corrected m / sqrt(v) is sign(g) at t = 1 when epsilon is 0."""
    w = np.zeros(3)
    F.adam_step(w, np.array([5., -0.3, 1e3]), np.zeros(3), np.zeros(3), 1, learning_rate=0.1, epsilon=0)
    np.testing.assert_allclose(w, [-0.1, 0.1, -0.1], rtol=1e-13)


def test_adam_correction_fades_with_the_step():
    """As t -> infinity both corrections approach 1.

    From zero moments the step is w -= lr (1 - b1) g / (sqrt(1 - b2) |g|).
    """
    w = np.zeros(1)
    F.adam_step(w, np.ones(1), np.zeros(1), np.zeros(1), 10**9, learning_rate=1, beta_1=0.5, beta_2=0.75, epsilon=0)
    np.testing.assert_allclose(w, [-0.5 / 0.5], rtol=1e-14)


def test_gradients_may_have_any_layout_and_dtype():
    w, [g] = problem(np.float64, (6, 5), 1)
    expected = w - 0.5 * g
    F.sgd_step(w, np.asfortranarray(g), learning_rate=0.5)
    np.testing.assert_array_equal(w, expected)
    w = np.ones(3)
    F.sgd_step(w, [1, 2, 3], learning_rate=0.5)
    np.testing.assert_array_equal(w, [0.5, 0, -0.5])


@pytest.mark.parametrize("call", [
    lambda w: F.sgd_step(w, np.zeros(3)),
    lambda w: F.sgd_step(w, np.zeros(4), momentum=0.9),
    lambda w: F.sgd_step(w, np.zeros(4), np.zeros(5), momentum=0.9),
    lambda w: F.sgd_step(w, np.zeros(4), np.zeros(4, np.float32), momentum=0.9),
    lambda w: F.sgd_step(w, np.zeros(4), learning_rate=-1),
    lambda w: F.sgd_step(w, np.zeros(4), np.zeros(4), momentum=1.5),
    lambda w: F.sgd_step(w[::2], np.zeros(2)),
    lambda w: F.sgd_step(w.astype(int), np.zeros(4)),
    lambda w: F.sgd_step([0., 0, 0, 0], np.zeros(4)),
    lambda w: F.adam_step(w, np.zeros(4), np.zeros(4), np.zeros(3), 1),
    lambda w: F.adam_step(w, np.zeros(4), np.zeros(4), np.zeros(4), 0),
    lambda w: F.adam_step(w, np.zeros(4), np.zeros(4), np.zeros(4), 1, beta_1=1),
    lambda w: F.adam_step(w, np.zeros(4), np.zeros(4), np.zeros(4), 1, epsilon_form="torch"),
    lambda w: F.adam_step(w, np.zeros(4), np.zeros(4), np.zeros(4), 1, np.zeros(3)),
    lambda w: F.adam_step(w, np.zeros(4), np.zeros(4), [0.] * 4, 1),
    lambda w: F.adam_step(w, np.zeros(4), *[np.zeros(4)] * 2, 1),
    lambda w: F.lion_step(w, np.zeros(4), w),
    lambda w: F.rmsprop_step(w, np.ones(4), np.zeros(4), momentum=0.9),
    lambda w: F.rmsprop_step(w, np.ones(4), np.zeros(4), np.zeros((2, 2))),
    lambda w: F.rmsprop_step(w, np.ones(4), np.zeros(4), rho=1),
    lambda w: F.adagrad_step(w, np.ones(4), np.zeros(4, int)),
    lambda w: F.adadelta_step(w, np.ones(4), np.zeros(4), np.zeros(8)[::2]),
    lambda w: F.adamax_step(w, np.ones(4), np.zeros(4), np.zeros(4), 0),
    lambda w: F.nadam_step(w, np.ones(4), np.zeros(4), np.zeros(4), 1, epsilon=-1),
    lambda w: F.lion_step(w, np.ones(4), None),
    lambda w: F.lion_step(w, np.ones(4), np.zeros(4), weight_decay=-0.1),
    lambda w: F.radam_step(w, np.ones(4), np.zeros(4), np.zeros(4), 1, learning_rate=np.nan),
])
def test_arguments_that_do_not_fit_are_an_error_and_change_nothing(call):
    w = np.arange(4.)
    with pytest.raises(ValueError, match="must"):
        call(w)
    np.testing.assert_array_equal(w, np.arange(4.))


@pytest.mark.parametrize("optimizer", [
    *(cls() for cls in optimizers._NAMES.values()),
    *(make(kernel, 0.25, weight_decay=0.5, clipnorm=1.0, use_ema=True) for kernel in CASES),
], ids=repr)
def test_repr_recreates_the_optimizer(optimizer):
    assert eval(repr(optimizer), vars(optimizers)) == optimizer


WRONG = {
    "learning_rate": -1,
    "momentum": 1.1,
    "rho": 1,
    "beta_1": 1,
    "beta_2": -0.1,
    "epsilon": -1e-9,
    "initial_accumulator_value": np.nan,
    "epsilon_form": "torch",
    "weight_decay": -1,
    "clipnorm": 0,
    "clipvalue": -1,
    "global_clipnorm": np.nan,
    "ema_momentum": 1.5,
    "ema_overwrite_frequency": 0,
    "gradient_accumulation_steps": 1,
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_options_are_checked_when_given_and_when_changed(name):
    cls = getattr(optimizers, name)
    for option in {**COMMON, **DEFAULTS[name]}:
        if option in WRONG:
            with pytest.raises(ValueError, match=option):
                cls(**{option: WRONG[option]})
            made = cls()
            with pytest.raises(ValueError, match=option):
                setattr(made, option, WRONG[option])
            assert made == cls()
    with pytest.raises(TypeError, match="learning_rate must be a number"):
        cls("fast")
    with pytest.raises(AttributeError, match="no option 'lr'.*learning_rate"):
        cls().lr = 0.1


# -- options that all optimizers share -------------------------------------------------------------

SHARED = [
    {"clipvalue": 0.01},
    {"clipnorm": 0.05},
    {"global_clipnorm": 0.1},
    {"clipnorm": 1e6},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "global_clipnorm": 0.05, "weight_decay": 0.1},
    {"gradient_accumulation_steps": 4, "clipvalue": 0.01},
    {"use_ema": True, "ema_momentum": 0.9},
    {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    {
        "use_ema": True,
        "ema_momentum": 0.7,
        "ema_overwrite_frequency": 2,
        "gradient_accumulation_steps": 3,
        "clipnorm": 0.05,
    },
]


def trained(optimizer, dtype="float64", n_threads=None, widths=(8,)):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((110, 5)), rng.standard_normal((110, 3))
    hidden = [nnfast.Dense(width, "tanh") for width in widths]
    model = nnfast.Sequential([nnfast.Input(5), *hidden, nnfast.Dense(3)], dtype=dtype, seed=0)
    model.compile(optimizer, "mse")
    exact = reference.Network.of(model)
    for _ in range(2):
        model.fit(x, y, batch_size=10, shuffle=False, verbose=0, n_threads=n_threads)
    return model, exact, x, y


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", ["momentum", "adam", "adagrad", "nadam"])
@pytest.mark.parametrize("options", SHARED, ids=repr)
def test_shared_options_follow_the_reference(options, kernel, dtype):
    """A fit has eleven batches, so accumulated steps span two fits; it ends on the running mean."""
    model, exact, x, y = trained(make(kernel, 0.02, **options), dtype)
    for _ in range(2):
        exact.train(x, y, "mean_squared_error", kernel, 0.02, {**CASES[kernel][1], **options}, 10, 1)
        if options.get("use_ema"):
            for w, mean in zip(exact.weights(), exact.means):
                w[...] = mean
    for actual, expected in zip(model.get_weights(), exact.weights(), strict=True):
        assert_close(actual, expected, "training", dtype)


@pytest.mark.parametrize("options", SHARED, ids=repr)
def test_number_of_threads_changes_no_bit_with_shared_options(options):
    models = [trained(make("adam", 0.02, **options), "float32", n_threads, (300, 70))[0] for n_threads in (1, 2, 3)]
    assert len({model.params.tobytes() for model in models}) == 1


@pytest.mark.parametrize("options", SHARED, ids=repr)
def test_a_pickled_model_continues_with_shared_options(options):
    model, _, x, y = trained(make("adam", 0.02, **options))
    twin = pickle.loads(pickle.dumps(model))
    for each in (model, twin):
        each.fit(x, y, batch_size=10, verbose=0)
    assert model.params.tobytes() == twin.params.tobytes()


@pytest.mark.parametrize("options", SHARED, ids=repr)
def test_a_gradient_that_is_not_finite_is_not_hidden(options):
    """The loss is 1000; the gradient is -1000 / 3 * 3e38, which overflows float32."""
    model = nnfast.Sequential([nnfast.Input(2), nnfast.Dense(3, kernel_initializer="zeros")], seed=0)
    model.compile(optimizers.SGD(0.1, **options), "mae")
    with pytest.raises(FloatingPointError, match="the gradient became"):
        model.fit(np.full((10, 2), 3e38), np.ones((10, 3)), sample_weight=np.full(10, 1000.), verbose=0)
    assert not model.params.any()


@pytest.mark.parametrize("options", SHARED, ids=repr)
def test_a_model_without_weights_trains_with_shared_options(options):
    model = nnfast.Sequential([nnfast.Input(2), nnfast.Activation("tanh")])
    model.compile(optimizers.Adam(**options), "mse")
    assert model.fit(np.ones((8, 2)), np.ones((8, 2)), verbose=0).epoch == [0]


def test_accumulated_batches_equal_one_large_batch():
    """For a mean loss and equal sizes, two batches of 5 give the step of one batch of 10."""
    x, y = np.random.default_rng(0).standard_normal((2, 40, 5))
    results = []
    for batch_size, options in [(10, {}), (5, {"gradient_accumulation_steps": 2})]:
        model = nnfast.Sequential([nnfast.Input(5), nnfast.Dense(5)], dtype="float64", seed=0)
        model.compile(optimizers.Adam(0.01, **options), "mse")
        model.fit(x, y, batch_size=batch_size, epochs=3, shuffle=False, verbose=0)
        results.append(model.params)
    np.testing.assert_allclose(*results, rtol=1e-12)


def test_options_that_change_the_state_reset_it():
    model, _, x, y = trained(optimizers.Adam(0.02))
    assert model._network.slots.shape[0] == 2 and model._network.average is None
    model.optimizer.use_ema = True
    model.fit(x, y, verbose=0)
    assert model._network.slots.shape[0] == 3 and model._network.steps == 4
    np.testing.assert_array_equal(model.params, model._network.average)


@pytest.mark.parametrize("one, other", [
    ("clipnorm", "clipvalue"),
    ("global_clipnorm", "clipnorm"),
    ("clipvalue", "global_clipnorm"),
])
def test_only_one_way_to_clip_can_be_chosen(one, other):
    with pytest.raises(ValueError, match="only one of clipnorm, clipvalue, global_clipnorm"):
        optimizers.Adam(**{one: 1.0, other: 1.0})
    optimizer = optimizers.Adam(**{one: 1.0})
    with pytest.raises(ValueError, match="only one"):
        setattr(optimizer, other, 1.0)
    setattr(optimizer, one, None)
    setattr(optimizer, other, 2.0)
