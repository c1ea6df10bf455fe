"""How much may be described: parts of parts of memory."""

import gc

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.errors import WireError
from lttngnet.sessiond.ust.room import OF_USER, Room, Rooms


class RoomTests(SynchronousTestCase):
    def test_parts(self):
        whole = Room(10 << 20, "everybody")
        one, two = Room(8 << 20, "one", whole), Room(None, "two", whole)
        one.take(7 << 20)
        refusal = self.assertRaises(WireError, one.take, 2 << 20)
        self.assertEqual(str(refusal), "one cannot describe more than 8 MiB")
        refusal = self.assertRaises(WireError, two.take, 4 << 20)
        self.assertEqual(str(refusal), "everybody cannot describe more than 10 MiB")
        two.take(3 << 20)
        self.assertEqual([room.taken >> 20 for room in (whole, one, two)], [10, 7, 3])
        one.give_back()
        self.assertEqual([room.taken >> 20 for room in (whole, one, two)], [3, 0, 3])
        two.take(7 << 20)

    def test_parts_of_parts(self):
        whole = Room(100, "everybody")
        part = Room(None, "a part", whole)
        Room(None, "a part of it", part).take(60)
        self.assertRaises(WireError, Room(None, "another", part).take, 41)
        part.give_back()
        self.assertEqual((whole.taken, part.taken), (0, 0))

    def test_each_user_has_one(self):
        rooms = Rooms()
        part = Room(None, "a part", rooms.of(7))
        part.take(OF_USER)
        self.assertRaises(WireError, rooms.of(7).take, 1)
        rooms.of(8).take(1)
        self.assertEqual(len(rooms._rooms), 1)
        del part
        gc.collect()
        self.assertEqual(len(rooms._rooms), 0)
