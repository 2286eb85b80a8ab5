"""Packages that single functions need: the extras of pyproject.toml, imported at first use."""
from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIREMENTS = {"demo": "scikit-learn>=1.3", "onnx": "onnx>=1.15", "plot": "matplotlib>=3.7", "scipy": "scipy>=1.10",
                "sklearn": "scikit-learn>=1.7"}


@contextlib.contextmanager
def extra(name: str, needed_by: str) -> Iterator[None]:
    """Around the imports of an extra: where one fails, the ImportError says how to install it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{needed_by} needs {REQUIREMENTS[name]}, and importing it failed: {error}. "
            f'Install it with pip install "{REQUIREMENTS[name]}", '
            f'or in a clone of nnfast with pip install -e ".[{name}]".'
        ) from None
