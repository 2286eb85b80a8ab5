"""Compiles train_step.pyx: `python setup.py build_ext --inplace`.

It needs setuptools, Cython and nnfast.  It also works without the flags; -march=x86-64-v3 needs a
CPU with AVX2.
"""
import platform

from Cython.Build import cythonize
from setuptools import Extension, setup

import nnfast

level = ["-march=x86-64-v3"] if platform.machine().lower() in ("x86_64", "amd64") else []
flags = [*level, "-O3", "-fno-math-errno", "-fno-trapping-math"]
directives = {"language_level": 3, "cdivision": True, "boundscheck": False, "wraparound": False}
extension = Extension("train_step", ["train_step.pyx"], extra_compile_args=flags)
setup(name="train_step", ext_modules=cythonize(extension, include_path=[nnfast.get_include()],
                                               compiler_directives=directives))
