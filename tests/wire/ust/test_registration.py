"""Registrations: whatever the byte order, the name, the garbage."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.wire.ust.registration import HOST, MAGIC, SIZE, STRUCT_ORDERS, Half, Registration, name_text

FOREIGN = "be" if HOST == "le" else "le"
USUAL = (MAGIC, 9, 0, 42, 1, 1000, 100, 64, 8, 8, 8, 8, 8, 0)


def message(*values, name=b"ticker", order=HOST):
    return struct.pack(STRUCT_ORDERS[order] + "14I16s64x", *(values or USUAL), name)


def changed(**values):
    names = list(Registration.__annotations__)
    return message(*[values.get(name, value) for name, value in zip(names, USUAL, strict=False)])


class RegistrationTests(SynchronousTestCase):
    def test_what_an_application_says(self):
        self.assertEqual(len(message()), SIZE)
        said, order = Registration.parse(message())
        self.assertEqual((said.pid, said.ppid, said.uid, said.gid, said.bits), (42, 1, 1000, 100, 64))
        self.assertEqual((said.procname, said.half, order), ("ticker", Half.COMMAND, HOST))
        self.assertEqual(said.alignments, (8, 8, 8, 8, 8))

    def test_the_other_byte_order(self):
        said, order = Registration.parse(message(order=FOREIGN))
        self.assertEqual((said, order), (Registration.parse(message())[0], FOREIGN))

    def test_what_cannot_be(self):
        for values in ({"magic": 1}, {"major": 7}, {"major": 10}, {"socket": 2}, {"bits": 16}):
            with self.assertRaises(WireError, msg=values):
                Registration.parse(changed(**values))

    @given(st.binary(max_size=2 * SIZE))
    def test_garbage(self, data):
        with self.assertRaises(WireError):
            Registration.parse(data)

    @given(st.binary(min_size=SIZE - 4, max_size=SIZE))
    def test_garbage_with_the_right_beginning(self, data):
        try:
            said, _ = Registration.parse(struct.pack("=I", MAGIC) + data)
        except WireError:
            return
        self.assertLess(len(said.name), 17)
        self.assertIsInstance(said.procname, str)

    @given(st.binary(min_size=1, max_size=16))
    def test_a_name_always_ends(self, raw):
        name = name_text(raw.ljust(16, b"\0"))
        self.assertNotIn("\0", name)
        self.assertLessEqual(len(name.encode("utf-8", "surrogateescape")), 15)
