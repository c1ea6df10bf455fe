/* Tracepoints of steps.c. */

#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER steps

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./steps.h"

#if !defined(STEPS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define STEPS_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(steps, step, LTTNG_UST_TP_ARGS(int, n),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(int, n, n)))

LTTNG_UST_TRACEPOINT_EVENT(steps, warning, LTTNG_UST_TP_ARGS(int, n),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(int, n, n)))
LTTNG_UST_TRACEPOINT_LOGLEVEL(steps, warning, LTTNG_UST_TRACEPOINT_LOGLEVEL_WARNING)

#endif

#include <lttng/tracepoint-event.h>
