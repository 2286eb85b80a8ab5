"""Mistakes that mypy --strict refuses: each line marked `# wrong`, and no other."""
import nnfast
from nnfast import callbacks, functional, losses, metrics, optimizers, schedules

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
nnfast.find_learning_rates(model, [[1.]], [1.])  # wrong
