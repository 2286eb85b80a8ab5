"""Builds the native extensions; everything else about the package is in pyproject.toml.

`network.pyx` is compiled once for each CPU level from the same source.  Environment variables that
may be set to 1:

    NNFAST_DEBUG       no optimization, for a debugger
    NNFAST_SANITIZE    AddressSanitizer and UBSan
"""
import os
import platform
import subprocess

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
    "freethreading_compatible": False,
}
# -fno-math-errno and -fno-trapping-math let sqrt and selects become vector instructions and change
# no result.  -ffast-math would change results, and a library linked with it switches denormals off
# for the user's whole process.
FLAGS = ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
# The core exceeds GCC's limit on the growth of a file by inlining.  Without a higher limit, exp and
# log are calls, and loops with a call do not become vector loops.
GCC = ["-ffp-contract=fast", "--param=inline-unit-growth=400"]
# Clang's "on" fuses multiply-adds within an expression, as written in the source.  Its "fast" fuses
# after the vectors are formed, so each CPU level would give other bits.
CLANG = ["-ffp-contract=on"]
LEVELS = {"base": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    LEVELS = {
        "v2": ["-march=x86-64-v2"],
        "v3": ["-march=x86-64-v3"],
        "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    }


def switched_on(name):
    return os.environ.get(name, "0") not in ("", "0")


compile_args, link_args = list(FLAGS), []
if switched_on("NNFAST_DEBUG"):
    compile_args = ["-O0", "-g"]
if switched_on("NNFAST_SANITIZE"):
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
    compile_args = ["-O1", "-g", *sanitizers]
    link_args = sanitizers[:1]


def extension(name, source, flags=()):
    """The extension module nnfast._core.<name>, from nnfast/_core/<source>.pyx."""
    return Extension(f"nnfast._core.{name}", [f"nnfast/_core/{source}.pyx"],
                     extra_compile_args=[*compile_args, *flags], extra_link_args=link_args)


class Build(build_ext):
    """Runs Cython just before the C compiler, so that an sdist or the metadata need no C files."""

    def run(self):
        for extension in self.extensions:
            [translated] = cythonize(
                [Extension(extension.name, extension.sources)],
                build_dir=f"build/cython-{extension.name.rpartition('.')[2]}",      # a C file for each level
                compiler_directives=DIRECTIVES,
                force=self.force,
            )
            extension.sources, extension.depends = translated.sources, translated.depends
        super().run()

    def build_extensions(self):
        """Adds the flags of the compiler: GCC's or Clang's."""
        command = [*self.compiler.compiler_so, "--version"]
        version = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for extension in self.extensions:
            extension.extra_compile_args += CLANG if "clang" in version else GCC
        super().build_extensions()


setup(
    ext_modules=[
        extension("cpu", "cpu"),
        *(extension(f"network_{level}", "network", flags) for level, flags in LEVELS.items()),
    ],
    cmdclass={"build_ext": Build},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
