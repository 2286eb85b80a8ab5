"""Files of models."""
import os
import tempfile
from functools import cache

import numpy as np

import nnfast

from .common import fastest

FOLDER = tempfile.TemporaryDirectory(prefix="nnfast-suite-")


def at(name):
    """Path of a file in the temporary folder."""
    return os.path.join(FOLDER.name, name)


@cache
def model():
    """A model of a million weights with the state of Adam."""
    made = nnfast.Sequential([nnfast.Input(1000), nnfast.Dense(900, "relu"), nnfast.Dense(110)], seed=0)
    made.compile("adam", "mse")
    rng = np.random.default_rng(0)
    made.fit(rng.standard_normal((64, 1000)), rng.standard_normal((64, 110)), verbose=0)
    return made


def numpys(save):
    """np.save or np.load of the same 12 MB as three arrays."""
    made = model()
    for number, vector in enumerate([made.params, *made._network.slots]):
        np.save(at(f"{number}.npy"), vector) if save else np.load(at(f"{number}.npy"))


class MillionWeights:
    """How long do saving and loading take for a model of a million weights with the state of Adam?

    The time includes waiting for the disk.
    """

    params = [".npz", ".safetensors"]
    param_names = ["ending"]

    def setup(self, ending):
        if not hasattr(nnfast, "load"):
            raise NotImplementedError("this commit has no load")
        self.path = at(f"model{ending}")
        model().save(self.path)

    def time_save(self, ending):
        model().save(self.path)

    def time_load(self, ending):
        nnfast.load(self.path)

    def track_times_of_numpy(self, ending):
        """Time of both over np.save and np.load of the same bytes, without waiting for the disk."""
        numpys(True)
        ours = theirs = float("inf")
        for _ in range(5):
            theirs = min(theirs, fastest(lambda: numpys(True), 1) + fastest(lambda: numpys(False), 1))
            ours = min(ours, fastest(lambda: self.time_save(ending), 1) + fastest(lambda: self.time_load(ending), 1))
        return ours / theirs

    track_times_of_numpy.unit = "times NumPy's"
