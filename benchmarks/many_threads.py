"""python -m benchmarks.many_threads: what do more threads gain, here and with more cores?

Epochs are measured on 1, 2, 4, 8, ... threads, as many as there are CPUs.  Beside each stands the
prediction of a model, which goes on to 64 threads.  The model takes three costs from this machine:

    transfer   time until a core has a cache line that another core wrote: half a round trip
    stream     rate at which a core reads, one line after the other, what another core wrote
    step       measured time of a step on one thread

The step of thread t of n takes

    its share of the rows of the batch, and of the rows of [W; b]   of the time on one thread
    2 moved / stream      what others wrote is read, and what they have read is taken back to write:
                          each W and its panels but for this thread's rows; of x and delta of each
                          layer what its products read, but for this thread's rows of the batch
    barriers              simulated: each atomic operation on a line, and each thread that reads
                          the line of its group, waits for the transfer of the one before

The slowest thread counts.  The model knows no clock rates that fall with the load, no limit of the
memory's rate for all cores together and no second socket, so it is an upper bound there.
"""
import argparse
import ctypes
import sys

from benchmarks.report import c_library, cpus, machine, meanwhile, others, table
from benchmarks.suite import workloads
from nnfast._bench import repeated

THREADS = (1, 2, 3, 4, 8, 16, 32, 64)
GROUP = 8                       # threads of a group of the barrier (team.pxd)
GROUP_ROWS = 16                 # rows of [W; b] that one thread has together (plan.pxd)
SIZE = 1 << 19                  # bytes of the stream
COSTS = """
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 100000, WRITES = 100 };
static uint32_t turn __attribute__((aligned(64)));
static uint64_t memory[SIZE / 8] __attribute__((aligned(64)));
volatile uint64_t kept;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void pass_to(uint32_t next) { __atomic_store_n(&turn, next, __ATOMIC_RELEASE); }
static void wait_for(uint32_t own) { while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != own) ; }

static void* answer(void* writes) {
    int rounds = writes ? WRITES : ROUNDS;
    for (int i = 0; i < rounds; i++) {
        wait_for(2 * i + 1);
        if (writes)
            for (int j = 0; j < SIZE / 8; j += 8) memory[j] = i;
        pass_to(2 * i + 2);
    }
    return NULL;
}

/* Seconds of a transfer, and of reading SIZE bytes that the other thread wrote: the best of all rounds. */
void costs(double* transfer, double* reading) {
    pthread_t other;
    turn = 0;
    pthread_create(&other, NULL, answer, NULL);
    double begin = now();
    for (int i = 0; i < ROUNDS; i++) { pass_to(2 * i + 1); wait_for(2 * i + 2); }
    *transfer = (now() - begin) / ROUNDS / 2;
    pthread_join(other, NULL);
    turn = 0;
    *reading = 1;
    pthread_create(&other, NULL, answer, memory);
    for (int i = 0; i < WRITES; i++) {
        pass_to(2 * i + 1);
        wait_for(2 * i + 2);
        uint64_t sum = 0;
        begin = now();
        for (int j = 0; j < SIZE / 8; j += 8) sum += memory[j];
        kept = sum;
        double took = now() - begin;
        if (took < *reading) *reading = took;
    }
    pthread_join(other, NULL);
}
"""


def costs():
    """Seconds of the transfer of a cache line between two cores; bytes a second of many of them."""
    measure = c_library(COSTS, "-O2", "-pthread", f"-DSIZE={SIZE}").costs
    results = []
    for _ in range(5):
        transfer, reading = ctypes.c_double(), ctypes.c_double()
        measure(ctypes.byref(transfer), ctypes.byref(reading))
        results.append((transfer.value, reading.value))
    return min(transfer for transfer, _ in results), SIZE / min(reading for _, reading in results)


def barrier(threads, transfer):
    """Seconds from the arrival of all threads to the departure of the last."""
    if threads == 1:
        return 0.0
    groups = -(-threads // GROUP)
    members = -(-threads // groups)
    arrival = members + (groups if groups > 1 else 0)       # on the line of a group, then on that of the groups
    release = groups + members - 1                          # a word for each group; its members read one by one
    return (arrival + release) * transfer


def shares(workload, threads):
    """[rows of each [W; b]] of each thread: as `divide_rows` of the core gives them."""
    sizes = [(-(-(n_in + 1) // GROUP_ROWS), -(-n_out // GROUP_ROWS) * GROUP_ROWS, n_in + 1)
             for n_in, n_out in workload.shapes]
    total, found = sum(groups * width for groups, width, _ in sizes), [[] for _ in range(threads)]
    base = 0
    for groups, width, rows in sizes:
        bounds = [min(rows, GROUP_ROWS * max(0, min(groups, -(-(total * t // threads - base) // width))))
                  for t in range(threads + 1)]
        for t in range(threads):
            found[t].append(bounds[t + 1] - bounds[t])
        base += groups * width
    return found


def moved(workload, rows_of_w, rows):
    """Bytes that a thread with these rows of each [W; b] and of the batch reads from others."""
    item = 8 if workload.dtype == "float64" else 4
    elements = 0
    for layer, ((n_in, n_out), own) in enumerate(zip(workload.shapes, rows_of_w, strict=True)):
        panels = 2 if layer else 1                          # W for x W, and panels of W^T for delta W^T
        elements += panels * (n_in + 1 - own) * n_out
        if own:                                             # x^T delta of these rows
            elements += (workload.batch_size - rows) * (own + n_out)
    return item * elements


def predicted(workload, threads, one, transfer, stream):
    """Seconds of a step on `threads` threads; `one` is that on one."""
    if threads == 1:
        return one
    macs = [n_in * n_out for n_in, n_out in workload.shapes]
    rows_half = workload.batch_size * (2 * sum(macs) - macs[0])         # x W and delta W^T, multiply-adds
    weights_half = workload.batch_size * sum(macs) + 8 * sum(macs)      # x^T delta, and Adam
    slowest = [0.0, 0.0]
    parts = shares(workload, threads)
    work = [sum(own * n_out for own, (_, n_out) in zip(part, workload.shapes, strict=True)) for part in parts]
    for t, part in enumerate(parts):
        rows = workload.batch_size * (t + 1) // threads - workload.batch_size * t // threads
        # Once to read and once to write; one half of a step does about as much of it as the other.
        moving = moved(workload, part, rows) / stream
        slowest[0] = max(slowest[0], one * rows_half / (rows_half + weights_half) * rows / workload.batch_size + moving)
        slowest[1] = max(slowest[1], one * weights_half / (rows_half + weights_half) * work[t] / sum(work) + moving)
    return sum(slowest) + 2 * barrier(threads, transfer)


def measured(name, threads, seconds):
    """Seconds of the fastest step with this number of threads."""
    workload, (x, y), model = workloads.find(name), workloads.data(name), workloads.model(name)
    steps = -(-workload.rows // workload.batch_size)
    return min(repeated(lambda: model.fit(x, y, batch_size=workload.batch_size, verbose=0, n_threads=threads),
                        seconds)) / steps


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_threads", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="mid,mnist,big,denoise")
    parser.add_argument("--threads", default=",".join(map(str, THREADS)))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (default: %(default)s)")
    parser.add_argument("--beyond", action="store_true", help="measure more threads than CPUs, too")
    options = parser.parse_args()
    if len(cpus()) < 2:
        sys.exit("At least two CPUs are needed to measure what moves between them.")
    begin, rows = others(), []
    transfer, stream = costs()
    for name in options.workloads.split(","):
        workload, one = workloads.find(name), measured(name, 1, options.seconds)
        for threads in map(int, options.threads.split(",")):
            expected, found = predicted(workload, threads, one, transfer, stream), None
            if threads == 1:
                found = one
            elif threads <= len(cpus()) or options.beyond:
                found = measured(name, threads, options.seconds)
            rows.append([name, threads, f"{1e6 * expected:.1f}", f"{one / expected:.2f}",
                         f"{1e6 * found:.1f}" if found else "", f"{one / found:.2f}" if found else "",
                         f"{1e6 * 2 * barrier(threads, transfer):.1f}"])
    print(f"{machine()}\n\nTransfer of a cache line {1e9 * transfer:.0f} ns, stream {stream / 1e9:.1f} GB/s.\n")
    print(table(["network", "threads", "model, us/step", "times one", "measured, us/step", "times one",
                 "of it barriers, us"], rows))
    print(f"\n{meanwhile(begin)}")


if __name__ == "__main__":
    main()
