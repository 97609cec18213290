/* Moves the wall clock of one process: every libc function that tells the time
 * of day adds the number of milliseconds that stands in the file named by
 * RIPOST_TEST_WALLCLOCK. The file is mapped, so a change counts at once.
 * Other clocks, boot time above all, are left alone. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_ms;

__attribute__((constructor)) static void map_offset(void)
{
    const char *path = getenv("RIPOST_TEST_WALLCLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof *offset_ms, PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        offset_ms = page;
    close(fd);
}

static int is_wall(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    if (syscall(SYS_clock_gettime, clock, now) != 0)
        return -1;
    if (offset_ms && is_wall(clock)) {
        int64_t offset = *offset_ms;
        int64_t nanos = now->tv_nsec + offset % 1000 * 1000000;
        now->tv_sec += offset / 1000;
        if (nanos < 0) {
            nanos += 1000000000;
            now->tv_sec -= 1;
        } else if (nanos >= 1000000000) {
            nanos -= 1000000000;
            now->tv_sec += 1;
        }
        now->tv_nsec = nanos;
    }
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec time;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &time) != 0)
        return -1;
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return (time_t)-1;
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}
