"""Compiles train_step.pyx: `python setup.py build_ext --inplace`, with setuptools, Cython and nnfast installed.

Without the flags it works, too; -march=x86-64-v3 asks for a CPU with AVX2.
"""
import platform

from Cython.Build import cythonize
from setuptools import Extension, setup

import nnfast

level = ["-march=x86-64-v3"] if platform.machine().lower() in ("x86_64", "amd64") else []
flags = [*level, "-O3", "-fno-math-errno", "-fno-trapping-math"]
directives = {"language_level": 3, "cdivision": True, "boundscheck": False, "wraparound": False}
setup(name="train_step", ext_modules=cythonize([Extension("train_step", ["train_step.pyx"], extra_compile_args=flags)],
                                               include_path=[nnfast.get_include()], compiler_directives=directives))
