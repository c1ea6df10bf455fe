/* Tracepoints of flood.c. */

#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER flood

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./flood.h"

#if !defined(FLOOD_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define FLOOD_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(flood, drop, LTTNG_UST_TP_ARGS(long, n, const char *, text),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(long, n, n)
        lttng_ust_field_string(text, text)))

#endif

#include <lttng/tracepoint-event.h>
