# cython: cdivision=True
"""A team of threads: how they wait for a job and for each other; the floating-point mode.

    nn_team    +---------------+
               | job  sleepers |  cache line 0       job = (number << 8) | size
               | arrived       |  cache line 1       groups of which all threads are at the barrier
               +---------------+
               | arrived       |  two cache lines    threads of a group that are at the barrier
               | phase         |  for each group     number of barriers passed
               | ...           |
               +---------------+

    job        number and size of the job in one word, so that a thread that wakes late
               cannot combine one job's number with another's size
    sleepers   threads that sleep in the kernel

The threads of a job form groups of at most 8.  A word that n threads write or wait for goes through
the caches of n cores, one after the other: with 64 threads 8 + 8 transfers instead of 64.

A waiting thread spins for some ten microseconds, then sleeps in the kernel (a futex on Linux, short
sleeps elsewhere).

Rejected: OpenMP.  Its threads outlive the fit, hang after a fork, and collide with the OpenMP
runtime of another library in the same process.
"""

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(__linux__)
      #include <unistd.h>
      #include <limits.h>
      #include <sys/syscall.h>
      #include <linux/futex.h>
    #elif defined(_WIN32)
      #include <windows.h>
    #else
      #include <time.h>
    #endif
    #if defined(__x86_64__) || defined(__i386__)
      #include <xmmintrin.h>
      #define nn_pause() _mm_pause()
    #elif defined(__aarch64__)
      #define nn_pause() __asm__ __volatile__("yield")
    #else
      #define nn_pause() ((void)0)
    #endif

    #define NN_GROUP 8              /* most threads of a group */
    #define NN_GROUPS 8

    typedef struct {
        uint32_t arrived  __attribute__((aligned(64)));
        uint32_t phase    __attribute__((aligned(64)));
    } nn_group;

    typedef struct {
        uint32_t job      __attribute__((aligned(64)));
        uint32_t sleepers;
        uint32_t arrived  __attribute__((aligned(64)));
        nn_group groups[NN_GROUPS];
    } nn_team;

    #define NN_SPINS 600            /* times nn_pause: 10 to 30 microseconds on x86-64 */

    static inline uint32_t nn_load(const uint32_t* p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }

    /* Returns when *word is no longer `old`. */
    static void nn_wait(nn_team* team, uint32_t* word, uint32_t old) {
        for (int i = 0; i < NN_SPINS; i++) {
            if (nn_load(word) != old) return;
            nn_pause();
        }
        __atomic_add_fetch(&team->sleepers, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == old) {
    #if defined(__linux__)
            syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    #elif defined(_WIN32)
            Sleep(0);
    #else
            struct timespec nap = {0, 50000};
            nanosleep(&nap, NULL);
    #endif
        }
        __atomic_sub_fetch(&team->sleepers, 1, __ATOMIC_SEQ_CST);
    }

    /* Sets *word and wakes the threads that sleep. */
    static void nn_set(nn_team* team, uint32_t* word, uint32_t value) {
        __atomic_store_n(word, value, __ATOMIC_SEQ_CST);
    #if defined(__linux__)
        if (__atomic_load_n(&team->sleepers, __ATOMIC_SEQ_CST))
            syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    #endif
    }

    /* Returns when threads 0..size-1 have called it.  The last one of each group resets the count of the group; the
       last of all resets that of the groups, and starts the next phase.  Group 0 is the last to start it: with it
       thread 0 may begin a job of another size, in which a thread may be in another group. */
    static inline void nn_barrier(nn_team* team, int thread, int size) {
        if (size == 1) return;
        int groups = (size + NN_GROUP - 1) / NN_GROUP;
        nn_group* own = team->groups + thread % groups;
        uint32_t members = (size - thread % groups + groups - 1) / groups;
        uint32_t phase = nn_load(&own->phase);
        if (__atomic_add_fetch(&own->arrived, 1, __ATOMIC_ACQ_REL) == members) {
            __atomic_store_n(&own->arrived, 0, __ATOMIC_RELAXED);
            if (groups == 1 || __atomic_add_fetch(&team->arrived, 1, __ATOMIC_ACQ_REL) == (uint32_t)groups) {
                __atomic_store_n(&team->arrived, 0, __ATOMIC_RELAXED);
                for (int i = groups - 1; i >= 0; i--)
                    nn_set(team, &team->groups[i].phase, team->groups[i].phase + 1);
                return;
            }
        }
        nn_wait(team, &own->phase, phase);
    }

    /* Denormals count as zero inside a native call; afterwards the mode of the thread is restored.  Reason: Adam's
       moments of a dead unit shrink by 0.9 a step until they are denormal, and arithmetic on denormals is slow.
       0x8040 are flush-to-zero and denormals-are-zero of MXCSR, 1 << 24 is flush-to-zero of FPCR. */
    #if defined(__x86_64__)
    static inline uint64_t nn_flush_denormals(void) {
        uint32_t mode = _mm_getcsr(); _mm_setcsr(mode | 0x8040); return mode; }
    static inline void nn_restore_mode(uint64_t mode) { _mm_setcsr((uint32_t)mode); }
    #elif defined(__aarch64__)
    static inline uint64_t nn_flush_denormals(void) {
        uint64_t mode; __asm__ __volatile__("mrs %0, fpcr" : "=r"(mode));
        __asm__ __volatile__("msr fpcr, %0" : : "r"(mode | (1u << 24))); return mode; }
    static inline void nn_restore_mode(uint64_t mode) { __asm__ __volatile__("msr fpcr, %0" : : "r"(mode)); }
    #else
    static inline uint64_t nn_flush_denormals(void) { return 0; }
    static inline void nn_restore_mode(uint64_t mode) { (void)mode; }
    #endif
    """
    ctypedef unsigned int uint32 "uint32_t"
    ctypedef unsigned long long uint64 "uint64_t"
    ctypedef struct Team "nn_team":
        uint32 job
    uint32 load "nn_load"(const uint32* word) noexcept nogil
    void wait "nn_wait"(Team* team, uint32* word, uint32 old) noexcept nogil
    void set "nn_set"(Team* team, uint32* word, uint32 value) noexcept nogil
    void barrier "nn_barrier"(Team* team, int thread, int size) noexcept nogil
    uint64 flush_denormals "nn_flush_denormals"() noexcept nogil
    void restore_mode "nn_restore_mode"(uint64 mode) noexcept nogil
