/* Tracepoints with every kind of field that lttng/tracepoint.h can describe. */

#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER kinds

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./kinds.h"

#if !defined(KINDS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define KINDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_ENUM(kinds, mode,
    LTTNG_UST_TP_ENUM_VALUES(
        lttng_ust_field_enum_value("zero", 0)
        lttng_ust_field_enum_value("one", 1)
        lttng_ust_field_enum_range("few", 2, 9)
        lttng_ust_field_enum_auto("ten")
        lttng_ust_field_enum_auto("eleven")
        lttng_ust_field_enum_value("fifty", 50)
        lttng_ust_field_enum_auto("after fifty")
        lttng_ust_field_enum_value("big", 0xffffffffffffffffULL)))

LTTNG_UST_TRACEPOINT_ENUM(kinds, balance,
    LTTNG_UST_TP_ENUM_VALUES(
        lttng_ust_field_enum_range("debt", -128, -1)
        lttng_ust_field_enum_value("even", 0)
        lttng_ust_field_enum_range("credit", 1, 127)
        lttng_ust_field_enum_value("also even", 0)
        lttng_ust_field_enum_value("character", 'c')))

LTTNG_UST_TRACEPOINT_ENUM(kinds, labels,
    LTTNG_UST_TP_ENUM_VALUES(
        lttng_ust_field_enum_value("a \"quoted\" label", 1)
        lttng_ust_field_enum_value("back\\slash", 2)
        lttng_ust_field_enum_value("two\nlines", 3)
        lttng_ust_field_enum_value("größer als drei", 4)
        lttng_ust_field_enum_value("integer", 5)
        lttng_ust_field_enum_auto("kinds::auto<T>")))

LTTNG_UST_TRACEPOINT_ENUM(kinds, switch_position,
    LTTNG_UST_TP_ENUM_VALUES(
        lttng_ust_field_enum_auto("off")
        lttng_ust_field_enum_auto("on")))

LTTNG_UST_TRACEPOINT_EVENT(kinds, integers,
    LTTNG_UST_TP_ARGS(int, n),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(int8_t, i8, -n)
        lttng_ust_field_integer(int16_t, i16, -n * 100)
        lttng_ust_field_integer(int32_t, i32, -n * 100000)
        lttng_ust_field_integer(int64_t, i64, -n * 100000000000LL)
        lttng_ust_field_integer(uint8_t, u8, 200 + n)
        lttng_ust_field_integer(uint16_t, u16, 60000 + n)
        lttng_ust_field_integer(uint32_t, u32, 4000000000u + n)
        lttng_ust_field_integer(uint64_t, u64, 18000000000000000000ull + n)
        lttng_ust_field_integer(char, character, 'a' + n)
        lttng_ust_field_integer(unsigned char, byte, 'b')
        lttng_ust_field_integer(short, small, 3)
        lttng_ust_field_integer(int, n, n)
        lttng_ust_field_integer(unsigned int, natural, n)
        lttng_ust_field_integer(long, l, -n)
        lttng_ust_field_integer(unsigned long, ul, n)
        lttng_ust_field_integer(long long, ll, -n)
        lttng_ust_field_integer(unsigned long long, ull, n)
        lttng_ust_field_integer(size_t, size, 42)
        lttng_ust_field_integer(bool, truth, true)))

LTTNG_UST_TRACEPOINT_EVENT(kinds, bases,
    LTTNG_UST_TP_ARGS(int, n),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer_hex(int, hex, 0xcafe + n)
        lttng_ust_field_integer_hex(uint64_t, hex64, 0xdeadbeefcafebabeull)
        lttng_ust_field_integer_network(uint16_t, port, 0x3512)
        lttng_ust_field_integer_network(int32_t, network, 0x01020304)
        lttng_ust_field_integer_network_hex(uint32_t, address, 0x0100007f)
        lttng_ust__field_integer_ext(int, octal, 0755, LTTNG_UST_BYTE_ORDER, 8, 0)
        lttng_ust__field_integer_ext(uint8_t, binary, 5, LTTNG_UST_BYTE_ORDER, 2, 0)
        lttng_ust__field_integer_ext(uint8_t, network_binary, 5, LTTNG_UST_BIG_ENDIAN, 2, 0)))

LTTNG_UST_TRACEPOINT_EVENT(kinds, floats,
    LTTNG_UST_TP_ARGS(double, x),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_float(float, single, x / 2)
        lttng_ust_field_float(double, pair, x)))

LTTNG_UST_TRACEPOINT_EVENT(kinds, strings,
    LTTNG_UST_TP_ARGS(const char *, text, size_t, length),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_string(text, text)
        lttng_ust_field_string(nothing, "")
        lttng_ust_field_string(missing, NULL)
        lttng_ust_field_array_text(char, fixed, text, 4)
        lttng_ust_field_sequence_text(char, counted, text, size_t, length)
        lttng_ust_field_sequence_text(char, none, text, uint8_t, 0)))

LTTNG_UST_TRACEPOINT_EVENT(kinds, arrays,
    LTTNG_UST_TP_ARGS(const int *, numbers, const uint8_t *, bytes),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_array(int, ints, numbers, 3)
        lttng_ust_field_array(uint8_t, octets, bytes, 5)
        lttng_ust_field_array(int64_t, longs, (const int64_t *) (const void *) numbers, 2)
        lttng_ust_field_array_hex(uint8_t, hex, bytes, 4)
        lttng_ust_field_array_network(uint16_t, network, (const uint16_t *) (const void *) bytes, 2)
        lttng_ust_field_array_network_hex(uint32_t, network_hex, (const uint32_t *) (const void *) bytes, 1)
        lttng_ust_field_array_text(char, name, (const char *) bytes, 4)))

LTTNG_UST_TRACEPOINT_EVENT(kinds, sequences,
    LTTNG_UST_TP_ARGS(const int *, numbers, const uint8_t *, bytes, size_t, length),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_sequence(int, ints, numbers, size_t, length)
        lttng_ust_field_sequence(int, few, numbers, uint8_t, 1)
        lttng_ust_field_sequence(uint8_t, octets, bytes, uint16_t, length)
        lttng_ust_field_sequence(int64_t, empty, (const int64_t *) (const void *) numbers, uint32_t, 0)
        lttng_ust_field_sequence_hex(uint8_t, hex, bytes, unsigned long, length)
        lttng_ust_field_sequence_network(uint16_t, network, (const uint16_t *) (const void *) bytes, uint64_t, 2)
        lttng_ust_field_sequence_network_hex(uint16_t, network_hex, (const uint16_t *) (const void *) bytes, unsigned int, 2)))

LTTNG_UST_TRACEPOINT_EVENT(kinds, enumerations,
    LTTNG_UST_TP_ARGS(int, value),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_enum(kinds, mode, int, as_int, value)
        lttng_ust_field_enum(kinds, mode, uint8_t, as_byte, value)
        lttng_ust_field_enum(kinds, mode, uint64_t, as_long, value == 0 ? -1ULL : (uint64_t) value)
        lttng_ust_field_enum(kinds, balance, int8_t, balance, value - 50)
        lttng_ust_field_enum(kinds, labels, short, label, value)
        lttng_ust_field_enum(kinds, switch_position, char, position, value)))

LTTNG_UST_TRACEPOINT_EVENT(kinds, unwritten,
    LTTNG_UST_TP_ARGS(int, n, const char *, text),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(int, written, n)
        lttng_ust_field_integer_nowrite(int, hidden, n)
        lttng_ust_field_float_nowrite(double, hidden_float, n)
        lttng_ust_field_array_nowrite(char, hidden_array, text, 2)
        lttng_ust_field_array_nowrite_hex(char, hidden_hex, text, 2)
        lttng_ust_field_array_network_nowrite(char, hidden_network, text, 2)
        lttng_ust_field_array_network_nowrite_hex(char, hidden_network_hex, text, 2)
        lttng_ust_field_array_text_nowrite(char, hidden_text, text, 2)
        lttng_ust_field_sequence_nowrite(char, hidden_sequence, text, size_t, 2)
        lttng_ust_field_sequence_nowrite_hex(char, hidden_sequence_hex, text, size_t, 2)
        lttng_ust_field_sequence_network_nowrite(char, hidden_sequence_network, text, size_t, 2)
        lttng_ust_field_sequence_network_nowrite_hex(char, hidden_sequence_network_hex, text, size_t, 2)
        lttng_ust_field_sequence_text_nowrite(char, hidden_sequence_text, text, size_t, 2)
        lttng_ust_field_string_nowrite(hidden_string, text)
        lttng_ust_field_enum_nowrite(kinds, mode, int, hidden_enum, n)
        lttng_ust_field_unused(text)
        lttng_ust_field_unused_nowrite(text)
        lttng_ust_field_string(also_written, text)))

LTTNG_UST_TRACEPOINT_EVENT(kinds, odd_names,
    LTTNG_UST_TP_ARGS(int, n),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(int, integer, n)
        lttng_ust_field_integer(int, struct, n)
        lttng_ust_field_integer(int, event, n)
        lttng_ust_field_integer(int, _leading, n)
        lttng_ust_field_integer(int, __twice, n)
        lttng_ust_field_integer(int, UPPER_case_9, n)
        lttng_ust_field_sequence(int, sequence, &n, uint8_t, 1)
        lttng_ust_field_string(timestamp, "a clock's name")))

LTTNG_UST_TRACEPOINT_EVENT(kinds, no_fields, LTTNG_UST_TP_ARGS(), LTTNG_UST_TP_FIELDS())

LTTNG_UST_TRACEPOINT_EVENT_CLASS(kinds, pair,
    LTTNG_UST_TP_ARGS(int, n, const char *, word),
    LTTNG_UST_TP_FIELDS(
        lttng_ust_field_integer(int, n, n)
        lttng_ust_field_string(word, word)))

#define KINDS_INSTANCE(name, level) \
    LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(kinds, pair, kinds, name, LTTNG_UST_TP_ARGS(int, n, const char *, word)) \
    LTTNG_UST_TRACEPOINT_LOGLEVEL(kinds, name, LTTNG_UST_TRACEPOINT_LOGLEVEL_##level)

KINDS_INSTANCE(emergency, EMERG)
KINDS_INSTANCE(alert, ALERT)
KINDS_INSTANCE(critical, CRIT)
KINDS_INSTANCE(error, ERR)
KINDS_INSTANCE(warning, WARNING)
KINDS_INSTANCE(notice, NOTICE)
KINDS_INSTANCE(info, INFO)
KINDS_INSTANCE(debug_system, DEBUG_SYSTEM)
KINDS_INSTANCE(debug_program, DEBUG_PROGRAM)
KINDS_INSTANCE(debug_process, DEBUG_PROCESS)
KINDS_INSTANCE(debug_module, DEBUG_MODULE)
KINDS_INSTANCE(debug_unit, DEBUG_UNIT)
KINDS_INSTANCE(debug_function, DEBUG_FUNCTION)
KINDS_INSTANCE(debug_line, DEBUG_LINE)
KINDS_INSTANCE(debug, DEBUG)

LTTNG_UST_TRACEPOINT_MODEL_EMF_URI(kinds, info, "http://example.org/kinds?event=info&q=1")

/* The spelling of lttng-ust before 2.13. */
TRACEPOINT_ENUM(kinds, old_mode,
    TP_ENUM_VALUES(
        ctf_enum_value("slow", 1)
        ctf_enum_range("fast", 2, 5)
        ctf_enum_auto("next")))

TRACEPOINT_EVENT(kinds, old_spelling,
    TP_ARGS(int, n, const char *, text),
    TP_FIELDS(
        ctf_integer(int, n, n)
        ctf_integer_hex(int, hex, n)
        ctf_integer_network(uint16_t, network, n)
        ctf_integer_network_hex(uint16_t, network_hex, n)
        ctf_float(float, x, n)
        ctf_string(text, text)
        ctf_array(char, array, text, 3)
        ctf_array_text(char, array_text, text, 3)
        ctf_sequence(char, sequence, text, size_t, 2)
        ctf_sequence_text(char, sequence_text, text, size_t, 2)
        ctf_enum(kinds, old_mode, int, mode, n)
        ctf_integer_nowrite(int, hidden, n)))
TRACEPOINT_LOGLEVEL(kinds, old_spelling, TRACE_WARNING)

#endif

#include <lttng/tracepoint-event.h>
