"""Compiles train_step.pyx: `python setup.py build_ext --inplace`, with setuptools, Cython and nnfast installed.

Without the flags it works, too.  -march=native is for this machine alone: a wheel for others wants -march=x86-64-v3.
"""
from Cython.Build import cythonize
from setuptools import Extension, setup

flags = ["-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
directives = {"language_level": 3, "cdivision": True, "boundscheck": False, "wraparound": False}
setup(name="train_step", ext_modules=cythonize([Extension("train_step", ["train_step.pyx"], extra_compile_args=flags)],
                                               compiler_directives=directives))
