// Preloaded into a program of armhf, this sets its clock to 2058, and has calls that count seconds in 32
// bits fail, as they will from 2038 on.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <time.h>

#if _TIME_BITS != 64
#error "compile this with the compiler of the armhf sysroot"
#endif

enum { YEARS = 32, SECONDS_OF_A_YEAR = 31557600 };

typedef int clock_reader(clockid_t, void *);

static int read_clock(const char *symbol, clockid_t clock, void *time) {
    clock_reader *real = (clock_reader *)dlsym(RTLD_NEXT, symbol);
    if (real == NULL) {
        errno = ENOSYS;
        return -1;
    }
    return real(clock, time);
}

// With 64-bit time the header calls it __clock_gettime64, as Rust's standard library does.
int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = read_clock("__clock_gettime64", clock, time);
    if (result == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += (time_t)YEARS * SECONDS_OF_A_YEAR;
    return result;
}

// The same for programs with 32-bit time, for which there is no 2058.
int narrow_clock_gettime(clockid_t clock, void *time) __asm__("clock_gettime");
int narrow_clock_gettime(clockid_t clock, void *time) {
    if (clock != CLOCK_REALTIME)
        return read_clock("clock_gettime", clock, time);
    errno = EOVERFLOW;
    return -1;
}

int narrow_gettimeofday(void *time, void *zone) __asm__("gettimeofday");
int narrow_gettimeofday(void *time, void *zone) {
    (void)time, (void)zone;
    errno = EOVERFLOW;
    return -1;
}

long narrow_time(void *time) __asm__("time");
long narrow_time(void *time) {
    (void)time;
    errno = EOVERFLOW;
    return -1;
}
