from os import PathLike
from typing import Any

from nnfast.models import Sequential

__all__ = ["load"]

def load(path: str | PathLike[str], custom_objects: dict[str, Any] | None = None) -> Sequential: ...
