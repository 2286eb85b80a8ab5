"""Keras on TensorFlow: one `fit`, with all steps of an epoch in one execution of the graph.

An epoch is timed from the end of the one before, so that nothing between them is left out.
"""
import os
import time

from benchmarks.suite import workloads

NAME = "Keras/TensorFlow"
REQUIRES = ("keras", "tensorflow")
VARIANTS = ("fit",)


def prepare(name, variant, threads):
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    import keras

    keras.utils.set_random_seed(0)
    workload = workloads.find(name)
    keras.config.set_floatx(workload.dtype)
    *hidden, n_out = workload.widths[1:]
    model = keras.Sequential([keras.Input((workload.widths[0],)), *[keras.layers.Dense(n, "relu") for n in hidden],
                              keras.layers.Dense(n_out)])
    model.set_weights(workloads.first_weights(name))
    loss = "mse" if workload.loss == "mse" else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(workloads.LEARNING_RATE), loss,
                  steps_per_execution=-(-workload.rows // workload.batch_size))

    def epochs(count):
        ends = [time.perf_counter()]
        clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter()))
        model.fit(*workloads.data(name), batch_size=workload.batch_size, epochs=count, verbose=0, callbacks=[clock])
        return [end - begin for begin, end in zip(ends, ends[1:])]

    return epochs, model.get_weights
