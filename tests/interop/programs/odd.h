/* Tracepoints of which LTTng's session daemon makes metadata that no reader takes. */

#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER odd

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./odd.h"

#if !defined(ODD_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define ODD_H

#include <stdint.h>
#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(odd, names,
    LTTNG_UST_TP_ARGS(int, n),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(int, dotted.name, n)
        lttng_ust_field_integer(int, $dollar, n + 1)
        lttng_ust_field_integer(int, colon:name, n + 2)
        lttng_ust_field_integer(int, größe, n + 3)
        lttng_ust_field_integer(int, twice, n + 4)
        lttng_ust_field_integer(int, twice, n + 5)
        lttng_ust_field_sequence(int, dotted.sequence, &n, uint8_t, 1)
        lttng_ust_field_array(int, dotted.array, &n, 1)))

LTTNG_UST_TRACEPOINT_EVENT(odd, precise,
    LTTNG_UST_TP_ARGS(long double, x),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(uint8_t, before, 1)
        lttng_ust_field_float(long double, x, x)
        lttng_ust_field_integer(uint8_t, after, 2)))

LTTNG_UST_TRACEPOINT_ENUM(odd, state,
    LTTNG_UST_TP_ENUM_VALUES(
        lttng_ust_field_enum_value("broken", -1)
        lttng_ust_field_enum_range("near zero", -2, 2)
        lttng_ust_field_enum_auto("three")))

LTTNG_UST_TRACEPOINT_EVENT(odd, sloppy,
    LTTNG_UST_TP_ARGS(int, n),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_enum(odd, state, uint8_t, state, n)))

LTTNG_UST_TRACEPOINT_ENUM(odd, nothing, LTTNG_UST_TP_ENUM_VALUES())

LTTNG_UST_TRACEPOINT_EVENT(odd, refused,
    LTTNG_UST_TP_ARGS(int, n),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_enum(odd, nothing, int, n, n)))

LTTNG_UST_TRACEPOINT_EVENT(odd, level,
    LTTNG_UST_TP_ARGS(int, n),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(int, n, n)))
LTTNG_UST_TRACEPOINT_LOGLEVEL(odd, level, -1)

#endif

#include <lttng/tracepoint-event.h>
