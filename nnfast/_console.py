"""What a model prints: the progress of a fit, results on one line, the table of its layers."""
import contextlib
import sys
import time
from html import escape

import numpy as np


def verbosity(verbose):
    """`verbose` as 0 (silent), 1 (a bar and a line per epoch) or 2 (a line per epoch).

    "auto" is 1 on a terminal, else 2.
    """
    if verbose == "auto":
        return 1 if sys.stdout is not None and sys.stdout.isatty() else 2
    if verbose in (0, 1, 2):
        return int(verbose)
    raise ValueError(f'verbose must be "auto", 0, 1 or 2, got {verbose!r}.')


class Reporter:
    """Prints the progress of a fit: a bar for the running epoch, and above it a line per epoch."""

    def __init__(self, verbose, epochs, batches):
        self.verbose, self.epochs, self.batches = verbosity(verbose), epochs, batches
        self.bar = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()

    def begin(self, epoch):
        """Starts the clock and the bar of an epoch."""
        self.started = time.perf_counter()
        if self.verbose == 1:
            text = f"Epoch {epoch + 1}/{self.epochs}"
            if self.bar is None:
                from tqdm.auto import tqdm

                self.bar = tqdm(total=self.batches, desc=text, unit="batch")
                # A notebook shows an empty line for a closed bar that does not stay.
                self.bar.leave = hasattr(self.bar, "container")
            else:
                self.bar.set_description(text, refresh=False)
                self.bar.set_postfix_str("", refresh=False)
                self.bar.reset()

    def move(self, batch, loss):
        """Moves the bar to a number of batches that are done."""
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss: {loss:.4f}", refresh=False)
            self.bar.update(batch - self.bar.n)

    def end(self, epoch, logs):
        """Prints the line of an epoch, unless verbose is 0."""
        if self.verbose:
            seconds = time.perf_counter() - self.started
            with contextlib.nullcontext() if self.bar is None else self.bar.external_write_mode():
                print(f"Epoch {epoch + 1}/{self.epochs} - {self.batches} batches - {seconds_text(seconds)} - "
                      f"{line(logs)}", flush=True)


def line(logs):
    """Results on one line: "loss: 0.1234 - acc: 0.9876"."""
    return " - ".join(f"{name}: {_number(value)}" for name, value in logs.items())


def _number(value):
    if np.ndim(value):
        return "[" + " ".join(map(_number, np.ravel(value))) + "]"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.4e}"


def seconds_text(seconds):
    """A duration with its unit: 1.25s, 12ms, <1ms."""
    if seconds >= 1:
        return f"{seconds:.2f}s"
    return f"{1000 * seconds:.0f}ms" if seconds >= 0.001 else "<1ms"


def bytes_text(count):
    """A number of bytes with a unit: 12 B, 1.50 KB."""
    power = min(max(count.bit_length() - 1, 0) // 10, 3)
    return f"{count} B" if power == 0 else f"{count / 1024**power:,.2f} {' KMG'[power]}B"


def table_text(title, rows, totals):
    """A table of three columns as text; rows[0] is the header, `totals` are lines below."""
    header, *rows = rows
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(3)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}" for row in [header, *rows]]
    rule = len(lines[0])
    return "\n".join([title, "-" * rule, lines[0], "=" * rule, *lines[1:], "-" * rule, *totals])


def table_html(title, rows, totals):
    """The same table as HTML, for notebooks."""
    header, *rows = [[escape(cell) for cell in row] for row in rows]
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{'<br>'.join(map(escape, totals))}</p>")
