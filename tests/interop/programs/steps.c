/*
 * steps: for every line of its input, which holds a number, records both events of steps.h that many times,
 * and then says "done". The field n counts on over all lines.
 */

#include "steps.h"

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char line[32];
    int n = 0, end;

    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        for (end = n + atoi(line); n < end; n++) {
            lttng_ust_tracepoint(steps, step, n);
            lttng_ust_tracepoint(steps, warning, n);
        }
        puts("done");
        fflush(stdout);
    }
    return 0;
}
