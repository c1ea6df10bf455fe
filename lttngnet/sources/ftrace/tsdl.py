"""Layouts as TSDL: the declarations of event classes.

A record of the ring buffer becomes an event where it lies (see `lttngnet.sources.ftrace.convert`), so its
description says what the kernel's C structure looks like, holes included. Names get a leading underscore,
which readers strip, as LTTng's do: a field may be called as a keyword of TSDL is.

Source: CTF 1.8, section 6 and appendix C (TSDL).
"""

from lttngnet.sources.ftrace.formats import COMMON_SIZE, Field, Kind, Layout
from lttngnet.sources.ftrace.names import SYSCALLS, lttng_event_name, lttng_field_name

_SIGNED_INT_ARGUMENTS = frozenset(
    (
        "int",
        "pid_t",
        "clockid_t",
        "const clockid_t",
        "key_t",
        "mqd_t",
        "timer_t",
        "key_serial_t",
        "rwf_t",
        "qid_t",
    )
)
"""Types of system call arguments that are 32 bits wide and signed, but recorded as a 64-bit register."""

_EVENT = """\
event {{
	name = "{name}";
	id = {id};
	stream_id = {stream_class};
{context}	fields := struct {{
{fields}	}};
}};

"""


def describe_event(layout: Layout, stream_class: int) -> str:
    """Return the declaration of an event class whose records have the length that the layout foresees."""
    lines = _Lines(layout)
    for field in layout.fields:
        lines.add(field)
    for field in layout.dynamic:
        lines.add_dynamic(field)
    lines.hole(layout.tail if layout.dynamic else covered_size(layout) - layout.end)
    return lines.event(layout.id, stream_class)


def describe_private_event(layout: Layout, stream_class: int, private_id: int, size: int) -> str:
    """Return the declaration of a class for records of ``size`` data bytes that the layout cannot explain."""
    lines = _Lines(layout)
    for field in layout.fields:
        if field.kind is not Kind.FLEXIBLE and field.end <= size:
            lines.add(field)
    lines.rest(size)
    return lines.event(private_id, stream_class)


def covered_size(layout: Layout) -> int:
    """Return how many data bytes the fields of a fixed class describe.

    A reader skips up to 3 bytes behind them by itself: event headers are aligned to 4.
    """
    unused = 4 * layout.words - layout.end
    return layout.end + (unused if unused >= 4 else 0)


class _Lines:
    """The fields of one event class, as they are written."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._context: list[str] = []
        self._fields: list[str] = []
        self._position = COMMON_SIZE
        self._holes = 0

    def add(self, field: Field) -> None:
        """Declare a field of the fixed part, and the hole before it."""
        self._fill(field.offset)
        if field.kind is not Kind.FLEXIBLE:
            # A system call's number is no argument of it.
            target = self._context if field.name == "__syscall_nr" else self._fields
            target += self._declare(field)
            self._position = field.end

    def add_dynamic(self, field: Field) -> None:
        """Declare the bytes of a dynamic field."""
        name = self._name(field)
        element = "utf8_t" if field.c_type == "char" else "uint8_t"
        self._fields.append(f"{element} {name}[_{name}_length];")

    def hole(self, size: int) -> None:
        """Declare bytes without meaning."""
        if size:
            # The hole behind a system call's number belongs to the number.
            target = self._context if self._context and not self._fields else self._fields
            kind = (
                f"uint{8 * size}_t _pad{self._holes};"
                if size in (1, 2, 4)
                else f"uint8_t _pad{self._holes}[{size}];"
            )
            target.append(kind)
            self._holes += 1

    def rest(self, size: int) -> None:
        """Declare as bytes what lies between the fields so far and ``size``; text where it is known to be."""
        if size > self._position:
            last = self._layout.fields[-1] if self._layout.flexible else None
            name = self._name(last) if last else "_tail"
            element = "utf8_t" if last and last.c_type == "char" else "uint8_t"
            self._fields.append(f"{element} {name}[{size - self._position}];")

    def event(self, event_id: int, stream_class: int) -> str:
        """Return the whole declaration."""
        context = f"\tcontext := struct {{\n{_indent(self._context)}\t}};\n" if self._context else ""
        return _EVENT.format(
            name=lttng_event_name(self._layout.system, self._layout.name),
            id=event_id,
            stream_class=stream_class,
            context=context,
            fields=_indent(self._fields),
        )

    def _fill(self, offset: int) -> None:
        self.hole(offset - self._position)
        self._position = offset

    def _name(self, field: Field) -> str:
        return "_" + lttng_field_name(self._layout.system, field.name)

    def _declare(self, field: Field) -> list[str]:
        name = self._name(field)
        match field.kind:
            case Kind.DYNAMIC | Kind.RELATIVE:
                return [f"uint16_t _{name}_offset;", f"uint16_t _{name}_length;"]
            case Kind.TEXT:
                return [f"utf8_t {name}[{field.count}];"]
            case Kind.ARRAY:
                return [f"uint{8 * field.element_size}_t {name}[{field.count}];"]
        if self._layout.system == SYSCALLS and field.size == 8 and field.c_type in _SIGNED_INT_ARGUMENTS:
            return [f"int32_t {name};", f"uint32_t _{name}_hi;"]  # the register's upper half is noise
        if "*" in field.c_type and field.size == 8:
            return [f"pointer_t {name};"]
        return [f"{'' if field.signed else 'u'}int{8 * field.size}_t {name};"]


def _indent(lines: list[str]) -> str:
    return "".join(f"\t\t{line}\n" for line in lines)
