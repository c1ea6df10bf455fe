/* odd: records every event of odd.h. */

#include "odd.h"

int main(void)
{
    int n;

    lttng_ust_tracepoint(odd, names, 10);
    lttng_ust_tracepoint(odd, precise, 1.0L);
    for (n = -2; n <= 4; n++)
        lttng_ust_tracepoint(odd, sloppy, n);
    lttng_ust_tracepoint(odd, refused, 1);
    lttng_ust_tracepoint(odd, level, 7);
    return 0;
}
