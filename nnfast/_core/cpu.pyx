"""The CPU level of this machine, and the compiler: nnfast._core reads them first."""

cdef extern from *:
    """
    static int nn_cpu_level(void) {
    #if defined(__x86_64__)
        __builtin_cpu_init();
        if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")))
            return 2;
        if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
              && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
              && __builtin_cpu_supports("avx512vl")))
            return 3;
        return 4;
    #else
        return 0;
    #endif
    }
    #if defined(__clang__)
      #define NN_COMPILER "Clang " __clang_version__
    #else
      #define NN_COMPILER "GCC " __VERSION__
    #endif
    """
    int cpu_level "nn_cpu_level"()
    const char* NN_COMPILER

COMPILER = NN_COMPILER.decode().strip()        # Clang's version may end with a space


def level():
    """Highest x86-64 level of this CPU and its system: 2, 3 or 4; 0 on other architectures.

    Level 2 is assumed, not checked.
    """
    return cpu_level()
