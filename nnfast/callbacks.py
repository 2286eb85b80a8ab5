"""What a fit hands to the user."""

__all__ = ["History"]


class History:
    """The record of a fit.

    Attributes
    ----------
    history : dict of lists
        "loss", the metrics under their names, and "val_..." of each; an entry an epoch.
    epoch : list of int
        Epochs trained, from 0.
    """

    def __init__(self):
        self.history = {}
        self.epoch = []

    def append(self, epoch, logs):
        """Adds the logs of an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __repr__(self):
        return f"History({len(self.epoch)} epochs: {', '.join(self.history)})"
