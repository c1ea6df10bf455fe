"""Copies of what the relay daemon has not written, and what pauses for two reasons."""

from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer.window import Brake, Window
from lttngnet.ctf.packet import Packet


def packet(content, number=0):
    return Packet(content, 0, 8 * len(content), 0, 0, 0, 0, 0, number)


class WindowTests(SynchronousTestCase):
    def setUp(self):
        self.asked = []
        self.window = Window(lambda: self.asked.append(True), limit=100)

    def add(self, handle, number, size=10):
        self.window.add(handle * 10, handle, number, packet(bytes(size), number))

    def test_it_asks_once_at_half(self):
        for number in range(4):
            self.add(1, number)
        self.assertEqual(self.asked, [])
        self.add(1, 4)
        self.add(1, 5)
        self.assertEqual(self.asked, [True])
        self.window.confirm({1: 1})
        self.add(1, 6)
        self.assertEqual(self.asked, [True] * 2)

    def test_it_asks_again_when_the_answer_does_not_come(self):
        self.add(1, 0, 60)
        self.window.forget_question()
        self.window.ask_if_due()
        self.assertEqual(self.asked, [True] * 2)

    def test_what_is_written_is_forgotten_and_the_order_stays(self):
        for number in range(3):
            self.add(1, number)
            self.add(2, number)
        self.window.confirm({1: 2, 2: 1})
        self.assertEqual([(copy.handle, copy.number) for copy in self.window], [(2, 1), (1, 2), (2, 2)])
        self.assertEqual((len(self.window), self.window.size), (3, 30))

    def test_a_stream_that_is_not_told_of_is_closed(self):
        self.add(1, 0)
        self.add(2, 0)
        self.window.confirm({2: 0})
        self.assertEqual([copy.handle for copy in self.window], [2])

    def test_the_content_is_copied(self):
        content = bytearray(b"abc")
        self.window.add(10, 1, 0, packet(content))
        content[:] = b"xyz"
        self.assertEqual([(stream, each.content) for stream, each in self.window.clear()], [(10, b"abc")])
        self.assertEqual((len(self.window), self.window.size), (0, 0))

    def test_full(self):
        self.add(1, 0, 99)
        self.assertFalse(self.window.is_full)
        self.add(1, 1, 1)
        self.assertTrue(self.window.is_full)


class BrakeTests(SynchronousTestCase):
    def setUp(self):
        self.said = []
        self.brake = Brake(self)

    def pauseProducing(self):
        self.said.append("pause")

    def resumeProducing(self):
        self.said.append("resume")

    def test_both_reasons_must_be_gone(self):
        self.brake.pauseProducing()
        self.brake.fill(True)
        self.brake.resumeProducing()
        self.assertEqual(self.said, ["pause"])
        self.brake.fill(False)
        self.assertEqual(self.said, ["pause", "resume"])

    def test_what_is_said_twice_counts_once(self):
        self.brake.fill(True)
        self.brake.fill(True)
        self.brake.stopProducing()
        self.brake.release()
        self.assertEqual(self.said, ["pause"])
