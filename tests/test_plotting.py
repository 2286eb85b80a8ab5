"""Plots show the values of losses, broken where they jump, and change no state of matplotlib."""
import inspect
import sys

import numpy as np
import pytest
from optional import needs

from nnfast import losses
from nnfast._range_test import LearningRateCurve
from nnfast.callbacks import History
from nnfast.plotting import plot_history, plot_learning_rates, plot_loss, plot_losses

matplotlib = needs("matplotlib")
matplotlib.use("Agg")
plt = needs("matplotlib.pyplot")

NEEDED = {"q": 0.9, "delta": 1.0, "p": 1.5, "power": 1.5, "alpha": 0.5, "beta": 0.5}      # options without a default
PUBLIC = [getattr(losses, name) for name in losses.__all__]
CLASSES = [cls for cls in PUBLIC
           if isinstance(cls, type) and issubclass(cls, losses.Loss) and cls not in (losses.Loss, losses.Custom)]
LOGITS = [cls for cls in CLASSES if "from_logits" in inspect.signature(cls).parameters]


def make(cls, **options):
    parameters = inspect.signature(cls).parameters.items()
    required = [name for name, parameter in parameters if parameter.default is parameter.empty]
    return cls(**{name: NEEDED[name] for name in required if name in NEEDED}, **options)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture
def axes():
    """Two axes of a figure that pyplot does not know."""
    return matplotlib.figure.Figure().subplots(1, 2)


def line(ax, label):
    found = [line for line in ax.get_lines() if line.get_label() == label]
    assert len(found) == 1, [line.get_label() for line in ax.get_lines()]
    return np.asarray(found[0].get_xdata(), float), np.asarray(found[0].get_ydata(), float)


def marks(ax, kind):
    lines = [line for line in ax.get_lines() if line.get_label() == kind]
    return sorted(point for line in lines for point in zip(line.get_xdata(), line.get_ydata()))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def squares_above(y_true, y_pred):
    """A custom loss of each row: squared errors, weighted tenfold below the truth."""
    error = y_pred - y_true
    weight = np.where(error < 0, 10.0, 1.0)
    return np.sum(weight * error**2, axis=-1), 2 * weight * error


@pytest.mark.parametrize("loss", [
    *map(make, CLASSES),
    *(make(cls, from_logits=True) for cls in LOGITS),
    squares_above,
    "mse",
], ids=repr)
@pytest.mark.parametrize("y_true", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
def test_every_loss_is_drawn_with_its_gradient(loss, y_true, axes):
    if loss == losses.Gamma() and y_true == 0:
        with pytest.raises(ValueError, match="must be positive"):
            plot_loss(loss, y_true, axes=axes)
        return
    left, right = plot_loss(loss, y_true, axes=axes)
    name = left.get_legend().get_texts()[0].get_text()
    class_name = "MeanSquaredError" if loss == "mse" else type(loss).__name__
    assert name.startswith(getattr(loss, "__name__", class_name))
    assert [text.get_text() for text in right.get_legend().get_texts()][:2] == ["loss", "gradient"]
    for ax in (left, right):
        assert ax.get_title() and ax.get_xlabel() and ax.get_ylabel()
    x, values = line(left, name)
    np.testing.assert_array_equal(line(right, "loss")[1], values)
    assert len(x) > 500 and np.isfinite(values).sum() > 500
    x_slopes, slopes = line(right, "gradient")
    step, distance = 1e-6, 1e-3
    broken = np.concatenate([x_slopes[np.isnan(slopes)], x[np.isnan(values)]])
    inner = x[1:-1][(np.abs(np.subtract.outer(x[1:-1], broken)) > distance).all(axis=1)][::7]
    y_pred, other_axes = np.unique([inner - step, inner + step]), matplotlib.figure.Figure().subplots(1, 2)
    inside = plot_loss(loss, y_true, y_pred=y_pred, axes=other_axes)[0]
    x_near, near = line(inside, name)
    differences = (np.interp(inner + step, x_near, near) - np.interp(inner - step, x_near, near)) / (2 * step)
    atol = 2e-3 + 1e-6 * np.nanmax(np.abs(slopes))
    np.testing.assert_allclose(differences, np.interp(inner, x_slopes, slopes), rtol=2e-3, atol=atol)


@pytest.mark.parametrize("name, y_true", [
    ("MeanSquaredError", 0.0),
    ("MeanAbsoluteError", 2.5),
    ("BinaryCrossentropy", 1.0),
])
def test_lines_of_one_output_are_the_loss_and_its_gradient(name, y_true, axes):
    loss = getattr(losses, name)()
    left, right = plot_loss(loss, y_true, axes=axes)
    for (x, drawn), function in [
        (line(left, name), lambda y, p: loss(y, p)),
        (line(right, "gradient"), lambda y, p: loss.gradient(y, p)[0, 0]),
    ]:
        there = np.isfinite(drawn)
        np.testing.assert_array_equal(drawn[there], [function([[y_true]], [[p]]) for p in x[there]])
        assert (np.diff(x) >= 0).all()


@pytest.mark.parametrize("name", ["CategoricalCrossentropy", "SparseCategoricalCrossentropy"])
@pytest.mark.parametrize("y_true", [0, 1.0, 4, [0, 1], [0, 0, 1, 0]], ids=str)
def test_crossentropy_is_drawn_over_the_probability_of_the_true_class(name, y_true, axes):
    """It is -log p with slope -1/p for any number of classes."""
    left, right = plot_loss(getattr(losses, name)(), y_true, axes=axes)
    x, values = line(left, name)
    assert 0 < x[0] <= 0.001 and 0.999 <= x[-1] < 1
    np.testing.assert_allclose(values, -np.log(x), atol=1e-12)
    np.testing.assert_allclose(line(right, "gradient")[1], -1 / x, rtol=1e-9)
    assert left.get_xlabel() == "probability p of the true class"


def test_crossentropy_from_logits_is_drawn_over_the_logit(axes):
    """The other classes have logit 0: the loss is log(e^z + 2) - z, its slope p - 1."""
    left, right = plot_loss(losses.SparseCategoricalCrossentropy(from_logits=True), 1, axes=axes)
    z, values = line(left, "SparseCategoricalCrossentropy(from_logits=True)")
    np.testing.assert_allclose(values, np.log(np.exp(z) + 2) - z, atol=1e-12)
    np.testing.assert_allclose(line(right, "gradient")[1], np.exp(z) / (np.exp(z) + 2) - 1, atol=1e-12)


@pytest.mark.parametrize("y_true", [0.0, 1.0, -2.3])
@pytest.mark.parametrize("y_pred", [None, np.linspace(-7, 8, 42)], ids=["default", "given"])
def test_the_gradient_of_the_absolute_error_is_broken_at_the_truth(y_true, y_pred, axes):
    left, right = plot_loss("mae", y_true, y_pred, axes=axes)
    x, slopes = line(right, "gradient")
    assert set(slopes[np.isfinite(slopes)]) == {-1, 0, 1}
    assert (slopes[x < y_true - 1e-9] == -1).all() and (slopes[x > y_true + 1e-9] == 1).all()
    assert np.isnan(slopes).sum() == 2                        # before the truth and after it
    drawn = np.isfinite(slopes[:-1]) & np.isfinite(slopes[1:])
    assert (slopes[:-1][drawn] == slopes[1:][drawn]).all(), "a line segment joins two values of the gradient"
    assert marks(right, "_value at the jump") == [(y_true, 0)]
    np.testing.assert_allclose(marks(right, "_end of the line"), [(y_true, -1), (y_true, 1)], atol=1e-9)
    assert np.isfinite(line(left, "MeanAbsoluteError")[1]).all()


def test_the_value_at_a_jump_is_a_dot_on_its_side(axes):
    def step(y_true, y_pred):
        return np.where(y_pred[:, 0] >= y_true[:, 0], 2.0, 0.0), np.zeros_like(y_pred)

    left, right = plot_loss(step, 1.0, axes=axes)
    assert marks(left, "_value at the jump") == [(1, 2)]
    np.testing.assert_allclose(marks(left, "_end of the line"), [(1, 0)], atol=1e-9)
    assert np.isnan(line(left, "step")[1]).sum() == 1 and np.isfinite(line(right, "gradient")[1]).all()


@pytest.mark.parametrize("loss", ["mse", "bce", squares_above], ids=str)
def test_lines_without_a_jump_are_unbroken(loss, axes):
    for ax in plot_loss(loss, 1.0, axes=axes):
        assert not any(np.isnan(np.asarray(line.get_ydata(), float)).any() for line in ax.get_lines())
        assert marks(ax, "_value at the jump") == marks(ax, "_end of the line") == []


def test_a_line_cut_at_a_singularity_has_the_value_of_its_end_as_text(axes):
    left, right = plot_loss("bce", 1.0, axes=axes)
    low, high = right.get_ylim()
    assert -20 < low < -5 and 6 < high < 10                   # the gradient goes to -1000, the loss to 6.9
    assert any("\N{MINUS SIGN}1000 at p = 0.001" in text for text in texts(right))
    assert texts(left) == ["6.908 at p = 0.001"]
    _, right = plot_loss("bce", 0.0, axes=matplotlib.figure.Figure().subplots(1, 2))
    assert texts(right)[-1] == "↑ 1000 at p = 0.999"
    assert not any(map(texts, plot_loss("mse", axes=matplotlib.figure.Figure().subplots(1, 2))))


def test_given_predictions_are_drawn_with_the_truth_among_them(axes):
    left, _ = plot_loss("mse", 0.25, y_pred=[3, -1, 2, 2], axes=axes)
    assert line(left, "MeanSquaredError")[0].tolist() == [-1, 0.25, 2, 3]


def test_losses_are_compared_over_the_same_prediction(axes):
    compared = ["mse", losses.MeanAbsoluteError(), squares_above]
    left, right = plot_losses(compared, y_true=1.0, axes=axes)
    names = ["MeanSquaredError", "MeanAbsoluteError", "squares_above", "truth 1"]
    for ax in (left, right):
        assert [text.get_text() for text in ax.get_legend().get_texts()] == names
        dashes = [line.get_linestyle() for line in ax.get_lines() if line.get_label() in names[:3]]
        assert len(set(dashes)) == 3                          # distinguishable without colour
    x, values = line(left, "squares_above")
    np.testing.assert_allclose(values, np.where(x < 1, 10, 1) * (x - 1)**2)
    x, slopes = line(right, "MeanSquaredError")
    np.testing.assert_allclose(slopes, 2 * (x - 1))
    assert np.isnan(line(right, "MeanAbsoluteError")[1]).sum() == 2


def test_a_comparison_with_a_loss_of_probabilities_spans_0_to_1(axes):
    left, _ = plot_losses(["mse", "bce"], y_true=1.0, axes=axes)
    assert left.get_xlabel() == "predicted probability p"
    x, values = line(left, "MeanSquaredError")
    assert 0 < x[0] and x[-1] < 1
    np.testing.assert_allclose(values, (x - 1)**2)


def test_a_vector_compares_any_losses_over_classes(axes):
    compared = ["mse", "categorical_crossentropy", "sparse_categorical_crossentropy"]
    left, _ = plot_losses(compared, y_true=[0, 1, 0], axes=axes)
    x, values = line(left, "MeanSquaredError")
    np.testing.assert_allclose(values, ((1 - x)**2 + 2 * ((1 - x) / 2)**2) / 3)


def test_a_history_is_drawn_with_training_and_validation():
    history = History()
    for epoch, loss in enumerate([0.9, 0.5, 0.4]):
        history.on_epoch_end(epoch + 2, {"loss": loss, "acc": 1 - loss, "val_loss": 2 * loss, "val_acc": 0.5})
    panels = plot_history(history)
    assert [ax.get_ylabel() for ax in panels] == ["loss", "acc"] and {ax.get_xlabel() for ax in panels} == {"epoch"}
    assert line(panels[0], "training")[0].tolist() == [3, 4, 5]           # epochs are counted from 1
    assert line(panels[0], "training")[1].tolist() == [0.9, 0.5, 0.4]
    assert line(panels[0], "validation")[1].tolist() == [1.8, 1.0, 0.8]
    assert [text.get_text() for text in panels[1].get_legend().get_texts()] == ["training", "validation"]


def test_a_history_with_validation_in_no_or_some_epochs_is_drawn():
    ax, = plot_history({"loss": [1.0, 0.5]})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training"]
    ax, = plot_history({"loss": [4.0, 3, 2, 1], "val_loss": [5.0, 4.0]})
    assert line(ax, "validation")[0].tolist() == [2, 4]                   # validated in every second epoch


def test_a_range_test_is_drawn_with_its_suggestion():
    rates, values, smoothed = np.array([0.01, 0.1, 1.0]), np.array([3.0, 2.0, 5.0]), np.array([3.0, 2.5, 4.0])
    ax, = plot_learning_rates(LearningRateCurve(rates, values, smoothed, 0.1))
    assert line(ax, "smoothed")[1].tolist() == [3.0, 2.5, 4.0]
    assert line(ax, "loss of a batch")[0].tolist() == [0.01, 0.1, 1.0]
    assert ax.get_xscale() == "log" and line(ax, "60 % of the fall at 0.1")[0][0] == 0.1
    assert ax.get_ylim() == (2.25, 3.5)                 # the smoothed loss falls from 3 to 2.5


def test_a_range_test_without_a_suggestion_is_drawn():
    curve = LearningRateCurve(np.array([0.01, 0.1]), np.array([3.0, 3.1]), np.array([3.0, 3.0]), np.nan)
    ax, = plot_learning_rates(curve)
    assert [drawn.get_label() for drawn in ax.lines] == ["loss of a batch", "smoothed"]


@pytest.mark.parametrize("draw", [
    lambda axes: plot_loss("mae", axes=axes),
    lambda axes: plot_losses(["mae", "mse"], axes=axes),
    lambda axes: plot_history({"loss": [2, 1], "acc": [0, 1]}, axes),
], ids=["loss", "losses", "history"])
def test_given_axes_are_returned_and_the_state_of_matplotlib_is_unchanged(draw, axes, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("show was called"))
    settings, figure = dict(matplotlib.rcParams), plt.figure()
    current = figure.add_subplot()
    assert list(draw(axes)) == list(axes)
    assert plt.get_fignums() == [figure.number] and plt.gca() is current and not current.lines
    assert list(draw(list(axes))) == list(axes)
    own = draw(None)
    assert len(plt.get_fignums()) == 2 and len({ax.figure for ax in own}) == 1 and own[0].figure is not figure
    assert dict(matplotlib.rcParams) == settings
    own[0].figure.canvas.draw()
    with pytest.raises(ValueError, match="axes must be 2 matplotlib axes"):
        draw(axes[:1])


@pytest.mark.parametrize("call, match", [
    (lambda: plot_loss("msee"), "loss must be one of the known names"),
    (lambda: plot_loss("sparse_categorical_crossentropy", 0.5), "y_true must be a class"),
    (lambda: plot_loss("sparse_categorical_crossentropy", [0.5, 0.5]), "y_true must be a class or one-hot"),
    (lambda: plot_loss("mse", np.nan), "y_true must be a finite number"),
    (lambda: plot_loss("mse", [[1.0], [2.0]]), "y_true must be a finite number, or the vector"),
    (lambda: plot_loss("mse", y_pred=[1.0]), "y_pred must hold at least two"),
    (lambda: plot_loss(lambda y, p: (p, 0.0)), "a custom loss must return a value for each row and a gradient"),
    (lambda: plot_loss(lambda y, p: (p * np.nan, p)), "the loss must be finite"),
    (lambda: plot_losses([]), "at least one loss"),
    (lambda: plot_losses(["mse", "categorical_crossentropy"]),
     "drawn over one quantity; got .*give y_true as a vector"),
    (lambda: plot_history({}), "history must hold at least one epoch"),
    (lambda: plot_history(History()), "history must hold at least one epoch"),
])
def test_arguments_that_do_not_fit_are_an_error_and_leave_no_figure(call, match):
    with pytest.raises(ValueError, match=match):
        call()
    assert plt.get_fignums() == []


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for draw in (lambda: plot_loss("mse"), lambda: plot_losses(["mse"]), lambda: plot_history({"loss": [1.0]})):
        with pytest.raises(ImportError, match=r'pip install "matplotlib>=.*pip install -e "\.\[plot\]"'):
            draw()
