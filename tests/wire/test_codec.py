"""Messages of fixed layout behave as frozen dataclasses do."""

from typing import Annotated, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.wire.codec import U8, U32, U64, Message


class Short(Message):
    NUMBER: ClassVar[int] = 7

    first: U32
    second: U64 = 5


class Longer(Short):
    name: Annotated[str, "8s"] = "é"


class Native(Message, byteorder="<"):
    first: U32


class MessageTests(SynchronousTestCase):
    def test_fields(self):
        self.assertEqual(vars(Short(1, 2)), {"first": 1, "second": 2})
        self.assertEqual(vars(Short(1)), {"first": 1, "second": 5})
        self.assertEqual(list(vars(Short(second=2, first=1)).items()), [("first", 1), ("second", 2)])
        self.assertEqual(vars(Longer(1, name="a")), {"first": 1, "second": 5, "name": "a"})

    def test_wrong_fields(self):
        for values, named in (((), {}), ((1, 2, 3), {}), ((1,), {"third": 1}), ((1,), {"first": 1})):
            self.assertRaises(TypeError, Short, *values, **named)

    def test_frozen(self):
        message = Short(1)
        with self.assertRaises(AttributeError):
            message.first = 2
        with self.assertRaises(AttributeError):
            del message.first

    def test_equality(self):
        self.assertEqual(Short(1), Short(1, 5))
        self.assertEqual(hash(Short(1)), hash(Short(1, 5)))
        self.assertNotEqual(Short(1), Short(2))
        self.assertNotEqual(Short(1, 5), (1, 5))
        self.assertNotEqual(Native(1), Short(1))

    def test_repr(self):
        self.assertEqual(repr(Longer(1)), "Longer(first=1, second=5, name='é')")

    def test_bytes(self):
        self.assertEqual(Short(1, 2).pack().hex(), "000000010000000000000002")
        self.assertEqual(Native(1).pack().hex(), "01000000")
        for message in (Short(1, 2), Longer(1), Native(1)):
            self.assertEqual(type(message).unpack(message.pack() + b"more"), message)

    def test_bytes_that_do_not_fit(self):
        self.assertRaises(WireError, Short(1 << 32).pack)
        self.assertRaises(WireError, Short("1").pack)
        self.assertRaises(WireError, Longer(1, name="12345678").pack)
        self.assertRaises(WireError, Short.unpack, bytes(Short.layout.size - 1))

    def test_flags(self):
        class Flags(Message):
            one: U8

        self.assertEqual(Flags.layout.size, 1)
        self.assertEqual(Flags(True).pack(), b"\1")
