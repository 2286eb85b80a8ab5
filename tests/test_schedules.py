"""Learning rate schedules: they match Keras and PyTorch, and training follows them."""
import math
import pickle

import numpy as np
import pytest
import reference
from optimizer_cases import CASES, make
from tolerances import assert_close

import nnfast
from nnfast import optimizers, schedules
from nnfast.layers import Dense

# schedule, and its rates in Keras 3.15 on JAX in float64 at each of STEPS
KERAS = [
    (schedules.ExponentialDecay(0.1, 100, 0.5),
     [0.1, 0.099309249543704, 0.070710678118655, 0.050347777502836, 0.05, 0.049654624771852, 0.017677669529664]),
    (schedules.ExponentialDecay(0.1, 40, 0.5, staircase=True),
     [0.1, 0.1, 0.05, 0.025, 0.025, 0.025, 0.0015625]),
    (schedules.InverseTimeDecay(0.1, 100, 0.5),
     [0.1, 0.099502487562189, 0.08, 0.066889632107023, 0.066666666666667, 0.066445182724252, 0.044444444444444]),
    (schedules.InverseTimeDecay(0.1, 40, 2.0, staircase=True),
     [0.1, 0.1, 0.033333333333333, 0.02, 0.02, 0.02, 0.0076923076923077]),
    (schedules.PiecewiseConstantDecay([1, 50, 100], [0.4, 0.3, 0.2, 0.1]),
     [0.4, 0.4, 0.3, 0.2, 0.2, 0.1, 0.1]),
    (schedules.PolynomialDecay(0.1, 100),
     [0.1, 0.099001, 0.05005, 0.001099, 0.0001, 0.0001, 0.0001]),
    (schedules.PolynomialDecay(0.1, 100, 0.01, power=2.0),
     [0.1, 0.098209, 0.0325, 0.010009, 0.01, 0.01, 0.01]),
    (schedules.PolynomialDecay(0.1, 100, 0.01, power=0.5, cycle=True),
     [0.1, 0.099548869339596, 0.073639610306789, 0.019, 0.01, 0.073320612757616, 0.046742346141748]),
    (schedules.CosineDecay(0.1, 100),
     [0.1, 0.099975323677063, 0.049999997019768, 2.4673342704773e-05, 0, 0, 0]),
    (schedules.CosineDecay(0.1, 200, alpha=0.1),
     [0.1, 0.099994447827339, 0.086819807291031, 0.055706826448441, 0.054999997317791, 0.054293168187141, 0.01]),
    (schedules.CosineDecay(0.01, 100, alpha=0.2, warmup_target=0.1, warmup_steps=50),
     [0.01, 0.0118, 0.1, 0.061256427764893, 0.059999997615814, 0.058743567466736, 0.02]),
    (schedules.CosineDecay(0.01, 100, warmup_target=0.1),
     [0.1, 0.099975323677063, 0.049999997019768, 2.4673342704773e-05, 0, 0, 0]),
    (schedules.CosineDecayRestarts(0.1, 60),
     [0.1, 0.099931478500366, 0.0066987305879593, 0.07612492442131, 0.075, 0.073857939243317, 0.080438071489334]),
    (schedules.CosineDecayRestarts(0.1, 60, t_mul=1.0, m_mul=0.5),
     [0.1, 0.099931478500366, 0.0066987305879593, 0.013650235533714, 0.012499998509884, 0.011384023725986,
      0.0058313295245171]),
    (schedules.CosineDecayRestarts(0.1, 30, t_mul=1.5, m_mul=0.8, alpha=0.1),
     [0.1, 0.099753483533859, 0.052251336574554, 0.051425090026855, 0.050207097625732, 0.048964399719238,
      0.046710176025391]),
]
STEPS = [0, 1, 50, 99, 100, 101, 250]


def id_of(value):
    return repr(value) if isinstance(value, schedules.Schedule) else ""


@pytest.mark.parametrize("schedule, expected", KERAS, ids=id_of)
def test_schedule_agrees_with_keras(schedule, expected):
    # Keras computes the cosine in float32
    rounding = (1e-6, 1e-8) if "Cosine" in repr(schedule) else (1e-12, 1e-15)
    np.testing.assert_allclose(schedule(STEPS), expected, *rounding)
    assert [schedule(step) for step in STEPS] == schedule(STEPS).tolist()
    assert type(schedule(3)) is float


@pytest.mark.parametrize("step, cosine, begins", [
    (0, 0, 0),
    (4, 0, 0),
    (5, 1, 5),
    (14, 1, 5),
    (5 + 10, 2, 15),
    (5 + 10 + 20, 3, 35),
    (5 * 1023, 10, 5 * 1023),
])
def test_a_restart_begins_at_its_first_step(step, cosine, begins):
    """The cosines are 5, 10, 20 ... steps long, and each is half as high as the previous one."""
    expected = 0.5**cosine * 0.5 * (1 + math.cos(math.pi * (step - begins) / (5 * 2**cosine)))
    assert schedules.CosineDecayRestarts(1.0, 5, t_mul=2.0, m_mul=0.5)(step) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("t_mul", [1.5, 3.0, 5.0, 7.0])
def test_every_restart_begins_at_the_initial_rate(t_mul):
    begins = 1000. * (t_mul ** np.arange(12) - 1) / (t_mul - 1)
    np.testing.assert_allclose(schedules.CosineDecayRestarts(1.0, 1000, t_mul=t_mul)(np.ceil(begins)), 1, atol=2e-5)


ONE_CYCLES = [
    {},
    {"pct_start": 0.5, "anneal_strategy": "linear"},
    {"three_phase": True},
    {"pct_start": 0.0},
    {"pct_start": 1.0},
    {
        "div_factor": 4.0,
        "final_div_factor": 10.0,
        "three_phase": True,
        "anneal_strategy": "linear",
        "pct_start": 0.2,
    },
]


@pytest.mark.parametrize("options", ONE_CYCLES, ids=repr)
@pytest.mark.parametrize("total", [7, 200])
def test_one_cycle_agrees_with_pytorch(torch, options, total):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    peer = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=total, cycle_momentum=False, **options)
    expected = []
    for step in range(total):
        expected.append(peer.get_last_lr()[0])
        optimizer.step()
        if step < total - 1:
            peer.step()
    ours = schedules.OneCycle(0.3, total, **options)
    np.testing.assert_allclose(ours(np.arange(total)), expected, rtol=1e-12)
    assert ours(10 * total) == pytest.approx(expected[-1], rel=1e-12)


def test_one_cycle_of_few_steps_has_no_empty_phase():
    assert np.isfinite([schedules.OneCycle(0.1, total)(np.arange(12)) for total in (1, 2, 3, 10)]).all()
    assert schedules.OneCycle(0.1, 10, pct_start=0.1)(0) == 0.1         # the rising phase has no step


def problem():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((83, 5))
    return x, np.sin(x @ rng.standard_normal((5, 3)))


def model_of(optimizer, dtype="float64"):
    model = nnfast.Sequential([nnfast.Input(5), Dense(8, "tanh"), Dense(3)], dtype=dtype, seed=0)
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", CASES)
def test_training_uses_the_rate_of_each_step(kernel, dtype):
    x, y = problem()
    schedule = schedules.CosineDecay(0.0, 15, warmup_target=0.05, warmup_steps=5)
    model = model_of(make(kernel, schedule, weight_decay=0.2), dtype)
    exact = reference.Network.of(model)
    model.fit(x, y, batch_size=20, epochs=2, shuffle=False, verbose=0)
    model.fit(x, y, batch_size=20, epochs=2, shuffle=False, verbose=0)
    exact.train(x, y, "mean_squared_error", kernel, schedule, {**CASES[kernel][1], "weight_decay": 0.2}, 20, 4)
    for actual, expected in zip(model.get_weights(), exact.weights(), strict=True):
        assert_close(actual, expected, "training", dtype)


def test_a_callable_is_called_once_for_every_step_in_order():
    x, y = problem()
    asked = []

    def rate(step):
        asked.append(step)
        return 0.1 / (1 + step)

    called = model_of(optimizers.SGD(rate))
    scheduled = model_of(optimizers.SGD(schedules.InverseTimeDecay(0.1, 1, 1.0)))
    for model in (called, scheduled):
        model.fit(x, y, batch_size=20, epochs=3, verbose=0)
        model.train_on_batch(x, y)
    assert asked == list(range(16))
    np.testing.assert_allclose(called.params, scheduled.params, rtol=1e-13)


def test_a_schedule_of_one_value_gives_the_same_bits_as_that_number():
    x, y = problem()
    one = model_of(optimizers.Adam(0.01))
    other = model_of(optimizers.Adam(schedules.PiecewiseConstantDecay([10], [0.01, 0.01])))
    for model in (one, other):
        model.fit(x, y, epochs=3, verbose=0)
    assert one.params.tobytes() == other.params.tobytes()


def test_a_pickled_model_continues_its_schedule():
    x, y = problem()
    model = model_of(optimizers.SGD(schedules.ExponentialDecay(0.1, 5, 0.5)))
    model.fit(x, y, verbose=0)
    twin = pickle.loads(pickle.dumps(model))
    for each in (model, twin):
        each.fit(x, y, verbose=0)
    assert model.params.tobytes() == twin.params.tobytes()


@pytest.mark.parametrize("rate, message", [
    (lambda step: float("nan") if step == 7 else 0.1, "gives nan at step 7"),
    (lambda step: 0.5 - 0.1 * step, "gives -0.1.* at step 6"),
    (lambda step: np.inf, "gives inf at step 0"),
    (lambda step: "fast", "gives .fast. at step 0"),
    (lambda step: [0.1, 0.2], "an array of shape"),
    (schedules.PolynomialDecay(0.1, 5, power=0.5), None),
])
def test_a_bad_rate_is_an_error_before_its_range_of_batches_is_trained(rate, message):
    x, y = problem()
    model = model_of(optimizers.Adam(rate))
    if message is None:
        model.fit(x, y, verbose=0)
        return
    with pytest.raises(ValueError, match=f"learning_rate must give .*{message}"):
        model.fit(x, y, batch_size=1, epochs=1, verbose=0)
    assert np.isfinite(model.params).all()
    model.optimizer.learning_rate = 0.01
    assert model.fit(x, y, verbose=0).epoch == [0]


def test_an_error_in_the_callable_reaches_the_caller():
    x, y = problem()
    model = model_of(optimizers.SGD(lambda step: 1 / step))
    before = model.params.copy()
    with pytest.raises(ZeroDivisionError):
        model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.params, before)


@pytest.mark.parametrize("call, message", [
    (lambda: schedules.ExponentialDecay(-0.1, 5, 0.5), "initial_learning_rate"),
    (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "decay_steps"),
    (lambda: schedules.InverseTimeDecay(0.1, 5, -1), "decay_rate"),
    (lambda: schedules.PiecewiseConstantDecay([5], [0.1]), "one entry more"),
    (lambda: schedules.PiecewiseConstantDecay([5, 3], [0.1, 0.2, 0.3]), "must rise"),
    (lambda: schedules.PiecewiseConstantDecay([5], [0.1, np.nan]), "values"),
    (lambda: schedules.PolynomialDecay(0.1, 5, end_learning_rate=-1), "end_learning_rate"),
    (lambda: schedules.CosineDecay(0.1, 5, warmup_steps=3), "needs a warmup_target"),
    (lambda: schedules.CosineDecay(0.1, -5), "decay_steps"),
    (lambda: schedules.CosineDecayRestarts(0.1, 5, t_mul=0.5), "t_mul"),
    (lambda: schedules.OneCycle(0.1, 0), "total_steps"),
    (lambda: schedules.OneCycle(0.1, 10, pct_start=1.5), "pct_start"),
    (lambda: schedules.OneCycle(0.1, 10, anneal_strategy="cosine"), "Did you mean 'cos'"),
    (lambda: schedules.OneCycle(0.1, 10, pct_start=0.7, three_phase=True), "at most 0.5"),
])
def test_options_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("schedule", [case[0] for case in KERAS] + [schedules.OneCycle(0.1, 10)], ids=repr)
def test_repr_recreates_the_schedule(schedule):
    assert eval(repr(schedule), vars(schedules)) == schedule


def test_a_subclass_may_define_the_call_and_one_that_does_not_is_told_so():
    class Halved(schedules.Schedule):
        def __call__(self, step):
            return 0.1 / (1 + np.asarray(step))

    class Empty(schedules.Schedule):
        pass

    assert Halved()(1) == 0.05
    with pytest.raises(TypeError, match=r"Empty must define __call__\(step\).*function of the step"):
        Empty()(0)
