from os import PathLike
from typing import Any

from numpy.typing import NDArray

__all__ = ["load_idx"]

def load_idx(path: str | PathLike[str]) -> NDArray[Any]: ...
