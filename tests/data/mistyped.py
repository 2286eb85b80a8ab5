"""Mistakes that mypy --strict refuses: each line marked `# wrong`, and no other."""
import nnfast
from nnfast import callbacks, constraints, functional, layers, losses, metrics, optimizers, regularizers, schedules

model = nnfast.Sequential([nnfast.Dense("84")])  # wrong
model.compile(optimizers.Adam(beta_3=0.9), "mse")  # wrong
model.compile(3, "mse")  # wrong
model.fit([[1.]], [1.], nonfinite="shout")  # wrong
model.fit([[1.]], [1.], verbose=3)  # wrong
losses.Huber(reduction="average")  # wrong
losses.get("mse").gradients([1.], [2.])  # wrong
metrics.AUC(curve="roc and pr")  # wrong
callbacks.EarlyStopping(mode="lowest")  # wrong
schedules.OneCycle(0.1)  # wrong
functional.relu([1.], [2.], [3.])  # wrong
layers.Dropout("half")  # wrong
layers.Normalization().adapt()  # wrong
nnfast.Dense(3, kernel_regularizer=constraints.MaxNorm(2.0))  # wrong
nnfast.Dense(3, kernel_constraint=regularizers.L2())  # wrong
nnfast.Sequential([nnfast.Dense, nnfast.Dense(3)])  # wrong
model.save()  # wrong
nnfast.load(3)  # wrong
nnfast.export_c([layers.Dropout(0.5)], "net.c")  # wrong
nnfast.MLPRegressor(learning_rate="falling")  # wrong
functional.adam_step(model.params, model.params, model.params, model.params, 1, epsilon_form="sklearn")  # wrong
nnfast.find_learning_rates(model, [[1.]], [1.])  # wrong
