"""Handwritten digits of raw pixels 0-255 and integer labels: the loss, its gradient, and the training it drives."""
import numpy as np

import nnfast
from nnfast.__main__ import digits
from nnfast.layers import Dense, Flatten
from nnfast.losses import CategoricalCrossentropy, MeanAbsoluteError, MeanSquaredError, SparseCategoricalCrossentropy


def main(epochs=10):
    truth, prediction = [1.0, 0.0], [2.0, 3.0]
    print("mean absolute error", MeanAbsoluteError()(truth, prediction))
    print("mean squared error", MeanSquaredError()(truth, prediction), "gradient", MeanSquaredError().gradient(truth, prediction))
    probabilities = [[0.15, 0.75, 0.1], [0.75, 0.15, 0.1]]
    print("categorical cross-entropy", round(CategoricalCrossentropy()([[0, 1, 0], [1, 0, 0]], probabilities), 7))
    print("the same from integers", round(SparseCategoricalCrossentropy()([1, 0], probabilities), 7))

    train_x, test_x, train_y, test_y = digits()
    model = nnfast.Sequential([Flatten(), Dense(84, activation="relu"), Dense(10, activation="softmax")], seed=0)
    model.compile(optimizer="adam", loss=SparseCategoricalCrossentropy(), metrics="acc")
    history = model.fit(train_x, y=train_y, batch_size=256, epochs=epochs, validation_data=(test_x, test_y))
    model.summary()
    wrong = np.flatnonzero(model.predict(test_x).argmax(axis=1) != test_y)
    print(f"{len(wrong)} of {len(test_y)} test digits are read wrongly")
    return history


if __name__ == "__main__":
    main()
