"""Messages of fixed layout: the class body is the C structure.

A subclass of `Message` lists its fields as annotations that carry their `struct` format; it packs and unpacks
itself, and says what is wrong with bytes or values that do not fit.
"""

from collections.abc import Iterable
from struct import Struct, error
from typing import Annotated, Any, ClassVar, NoReturn, Self, dataclass_transform

from lttngnet.errors import WireError

BIG = ">"

U8 = Annotated[int, "B"]
U32 = Annotated[int, "I"]
U64 = Annotated[int, "Q"]
# Text, in a field of n bytes that holds its NUL as well, is Annotated[str, "ns"]; raw bytes are
# Annotated[bytes, "ns"].

Buffer = bytes | bytearray | memoryview


@dataclass_transform(frozen_default=True)
class Message:
    """A message of fixed size, whose fields stand in the order of the class body, without holes.

    It behaves as a frozen dataclass does, but is none: to make one compiles Python code, and a daemon would
    spend a tenth of its start on that.
    """

    layout: ClassVar[Struct]
    names: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[Any, ...]] = ()  # of the fields, as annotated
    defaults: ClassVar[dict[str, Any]] = {}
    text_widths: ClassVar[tuple[int, ...]]  # of each field: the bytes of its NUL-ended text, else 0
    has_text: ClassVar[bool]

    def __init_subclass__(cls, byteorder: str = BIG) -> None:
        own = {name: kind for name, kind in cls.__annotations__.items() if hasattr(kind, "__metadata__")}
        cls.names = (*cls.names, *own)
        cls.kinds = (*cls.kinds, *own.values())
        cls.defaults = cls.defaults | {name: vars(cls)[name] for name in own if name in vars(cls)}
        formats = [kind.__metadata__[0] for kind in cls.kinds]
        cls.layout = Struct(byteorder + "".join(formats))
        cls.text_widths = tuple(
            int(form[:-1]) if kind.__origin__ is str else 0
            for form, kind in zip(formats, cls.kinds, strict=True)
        )
        cls.has_text = any(cls.text_widths)

    def __init__(self, *values: Any, **named: Any) -> None:
        fields, names = self.__dict__, self.names
        fields.update(zip(names, values, strict=False))
        if len(values) == len(names) and not named:
            return
        for name in names[len(values) :]:
            if name in named:
                fields[name] = named.pop(name)
            elif name in self.defaults:
                fields[name] = self.defaults[name]
            else:
                raise TypeError(f"{type(self).__name__} lacks {name}")
        if named or len(values) > len(names):
            raise TypeError(f"{type(self).__name__} has the fields {', '.join(names)}, each once")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    def pack(self) -> bytes:
        """Return the bytes of the message.

        Raises:
            WireError: a value does not fit into its field.
        """
        values: Iterable[Any] = self.__dict__.values()
        if self.has_text:
            values = [encode(v) if isinstance(v, str) else v for v in values]
            for value, width in zip(values, self.text_widths, strict=True):
                if width and len(value) >= width:  # struct would cut it, silently
                    raise WireError(f"text too long: {self!r}")
        try:
            return self.layout.pack(*values)
        except error as problem:
            raise WireError(f"{self!r}: {problem}") from None

    @classmethod
    def unpack(cls, data: Buffer, at: int = 0) -> Self:
        """Make the message from the bytes of ``data`` that begin there; more of them are not looked at.

        Raises:
            WireError: there are too few bytes.
        """
        if len(data) - at < cls.layout.size:
            raise WireError(f"{cls.__name__} is {cls.layout.size} bytes, got {len(data) - at}")
        if not cls.has_text:  # there are thousands of them in a second: without its own __init__
            message = object.__new__(cls)
            message.__dict__.update(zip(cls.names, cls.layout.unpack_from(data, at)))  # noqa: B905
            return message
        values = zip(cls.layout.unpack_from(data, at), cls.text_widths, strict=True)
        return cls(*[decode(v.split(b"\0", 1)[0]) if width else v for v, width in values])

    @classmethod
    def measure(cls, data: Buffer) -> int | None:
        """Return the length of the message that ``data`` begins with, None if it can't be told yet."""
        return cls.layout.size


def encode(text: str) -> bytes:
    """Text as bytes; what was undecodable in a name that came as bytes goes back as it was."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """Bytes of a peer as text, whatever they are."""
    return data.decode("utf-8", "surrogateescape")


def pack_text(text: str, limit: int) -> bytes:
    """Return the text with its NUL, of which a length field counts every byte.

    Raises:
        WireError: it holds a NUL, or has more than ``limit`` bytes with the one behind it.
    """
    data = encode(text) + b"\0"
    if len(data) > limit or data.find(b"\0") != len(data) - 1:
        raise WireError(f"text too long (over {limit - 1} bytes) or with a NUL in it: {text[:80]!r}")
    return data


def take_text(data: Buffer, start: int, length: int, limit: int, what: str) -> str:
    """Return the NUL-ended text of ``length`` bytes, the NUL included, that begins at ``start``.

    Raises:
        WireError: it is longer than ``limit``, reaches beyond the data, or has no NUL.
    """
    if length > limit:
        raise WireError(f"{what} of {length} bytes, the limit is {limit}")
    if start + length > len(data):
        raise WireError(f"{what} of {length} bytes reaches beyond the message of {len(data)}")
    text, nul, _ = bytes(data[start : start + length]).partition(b"\0")
    if length and not nul:
        raise WireError(f"{what} does not end in NUL")
    return decode(text)
