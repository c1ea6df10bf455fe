/*
 * flood: for every line of its input, which holds a number, records the event flood:drop that many times, as
 * fast as it can, and then says how many nanoseconds that took. The field n counts on over all lines.
 */

#include "flood.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(void)
{
    char line[32];
    long n = 0, end;
    long long begin;

    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        begin = now();
        for (end = n + atol(line); n < end; n++)
            lttng_ust_tracepoint(flood, drop, n, "an event as long as others often are");
        printf("%lld\n", now() - begin);
        fflush(stdout);
    }
    return 0;
}
