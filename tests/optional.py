"""Packages that tests use and nnfast does not need.

A test whose package is missing is skipped. If NNFAST_REQUIRE_ALL is 1, as in .ci/run after all
packages are installed, it fails.
"""
import os
from importlib.util import find_spec

import pytest


def needs(module, minversion=None):
    """The module of an optional package; the test is skipped if it is missing."""
    try:
        return pytest.importorskip(module, minversion=minversion)
    except pytest.skip.Exception as skipped:
        _refuse(skipped)
        raise


def has(module):
    """Whether an optional package is installed."""
    there = find_spec(module) is not None
    if not there:
        _refuse(f"no module named {module!r}")
    return there


def _refuse(lack):
    if os.environ.get("NNFAST_REQUIRE_ALL") == "1":
        raise ImportError(f"NNFAST_REQUIRE_ALL is 1, so every package of the tests must be installed: {lack}")
