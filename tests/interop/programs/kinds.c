/*
 * kinds [ROUNDS [PAUSE]]: records every event of kinds.h, tracef() and tracelog(), that many times, PAUSE
 * microseconds apart. What it records is the same in each run.
 */

#include "kinds.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <lttng/tracef.h>
#include <lttng/tracelog.h>

static void say(const char *format, ...)
{
    va_list words;

    va_start(words, format);
    lttng_ust_vtracef(format, words);
    va_end(words);
}

static void log_warning(const char *format, ...)
{
    va_list words;

    va_start(words, format);
    lttng_ust_vtracelog(LTTNG_UST_TRACEPOINT_LOGLEVEL_WARNING, format, words);
    va_end(words);
}

static void levels(int n)
{
    lttng_ust_tracepoint(kinds, emergency, n, "emergency");
    lttng_ust_tracepoint(kinds, alert, n, "alert");
    lttng_ust_tracepoint(kinds, critical, n, "critical");
    lttng_ust_tracepoint(kinds, error, n, "error");
    lttng_ust_tracepoint(kinds, warning, n, "warning");
    lttng_ust_tracepoint(kinds, notice, n, "notice");
    lttng_ust_tracepoint(kinds, info, n, "info");
    lttng_ust_tracepoint(kinds, debug_system, n, "debug_system");
    lttng_ust_tracepoint(kinds, debug_program, n, "debug_program");
    lttng_ust_tracepoint(kinds, debug_process, n, "debug_process");
    lttng_ust_tracepoint(kinds, debug_module, n, "debug_module");
    lttng_ust_tracepoint(kinds, debug_unit, n, "debug_unit");
    lttng_ust_tracepoint(kinds, debug_function, n, "debug_function");
    lttng_ust_tracepoint(kinds, debug_line, n, "debug_line");
    lttng_ust_tracepoint(kinds, debug, n, "debug");
}

static void logs(int n)
{
    lttng_ust_tracelog(LTTNG_UST_TRACEPOINT_LOGLEVEL_EMERG, "level %d of %d", 0, n);
    lttng_ust_tracelog(LTTNG_UST_TRACEPOINT_LOGLEVEL_CRIT, "level %s", "critical");
    lttng_ust_tracelog(LTTNG_UST_TRACEPOINT_LOGLEVEL_INFO, "level %s, \"quoted\"", "info");
    lttng_ust_tracelog(LTTNG_UST_TRACEPOINT_LOGLEVEL_DEBUG_FUNCTION, "level %d", 12);
    log_warning("level %s: %d", "warning", n);
    tracelog(LTTNG_UST_TRACEPOINT_LOGLEVEL_DEBUG, "an old name");
}

static void fields(int n)
{
    static const int numbers[] = {-1, 2, -3, 4, 5, 6};
    static const uint8_t bytes[] = "xyz\0\xf0\x9f\x8e\x89";
    int value;

    lttng_ust_tracepoint(kinds, integers, n);
    lttng_ust_tracepoint(kinds, bases, n);
    lttng_ust_tracepoint(kinds, floats, n + 0.25);
    lttng_ust_tracepoint(kinds, floats, -1e300);
    lttng_ust_tracepoint(kinds, strings, "façade, \"world\"\n", 5);
    lttng_ust_tracepoint(kinds, strings, "four", 4);
    lttng_ust_tracepoint(kinds, strings, "", 0);
    lttng_ust_tracepoint(kinds, arrays, numbers, bytes);
    lttng_ust_tracepoint(kinds, sequences, numbers, bytes, 3);
    lttng_ust_tracepoint(kinds, sequences, numbers, bytes, 0);
    for (value = 0; value < 13; value++)
        lttng_ust_tracepoint(kinds, enumerations, value);
    lttng_ust_tracepoint(kinds, enumerations, 50);
    lttng_ust_tracepoint(kinds, enumerations, 51);
    lttng_ust_tracepoint(kinds, enumerations, 149);
    lttng_ust_tracepoint(kinds, unwritten, n, "text");
    lttng_ust_tracepoint(kinds, odd_names, n);
    lttng_ust_tracepoint(kinds, no_fields);
    tracepoint(kinds, old_spelling, n, "old text");
}

int main(int count, char **words)
{
    int n, rounds = count > 1 ? atoi(words[1]) : 1;

    for (n = 1; n <= rounds; n++) {
        fields(n % 10);
        levels(n);
        logs(n);
        lttng_ust_tracef("round %d of a %s", n, "program");
        say("said %s, %d", "indirectly", n);
        if (count > 2)
            usleep(atoi(words[2]));
    }
    return 0;
}
