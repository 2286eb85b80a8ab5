"""Packages that single functions need: extras of pyproject.toml, imported at first use, with an error that says how to install them."""
import contextlib

REQUIREMENTS = {"demo": "scikit-learn>=1.3", "onnx": "onnx>=1.15", "plot": "matplotlib>=3.7", "scipy": "scipy>=1.10",
                "sklearn": "scikit-learn>=1.7"}


@contextlib.contextmanager
def extra(name, needed_by):
    """Around the imports of an extra: one that fails becomes an ImportError with the commands that install it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{needed_by} needs {REQUIREMENTS[name]}, and importing it failed: {error}. "
            f'Install it with pip install "{REQUIREMENTS[name]}", or in a clone of nnfast with pip install -e ".[{name}]".'
        ) from None
