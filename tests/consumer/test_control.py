"""Questions and answers on a control connection."""

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer.control import MOST_TOGETHER, TOGETHER, ControlClient
from lttngnet.errors import RelayLost, RelayRefused
from lttngnet.wire.framing import Commands
from lttngnet.wire.relay import OK, Command, Status, StreamAdded


class ControlClientTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.lost = []
        self.client = ControlClient(self.clock, 5.0, self.lost.append)
        self.transport = StringTransport()
        self.client.makeConnection(self.transport)

    def ask(self, kind=Status):
        return self.client.ask(Command.STREAMS_SENT, b"", kind)

    def test_answers_come_in_the_order_of_the_questions(self):
        first, second = self.ask(), self.ask(StreamAdded)
        data = OK.pack() + StreamAdded(7, 10).pack()
        for at in range(len(data)):
            self.client.dataReceived(data[at : at + 1])
        self.assertEqual(self.successResultOf(first), OK)
        self.assertEqual(self.successResultOf(second), StreamAdded(7, 10))

    def test_what_has_no_answer(self):
        self.client.tell(Command.SEND_METADATA, b"x" * 12)
        answer = self.ask()
        self.client.dataReceived(OK.pack())
        self.assertEqual(self.successResultOf(answer), OK)
        sent = [header.command for header, _ in Commands().feed(self.transport.value())]
        self.assertEqual(sent, [Command.SEND_METADATA, Command.STREAMS_SENT])

    def said(self):
        """Return the numbers of what was sent since the last call."""
        sent = [header.command for header, _ in Commands().feed(self.transport.value())]
        self.transport.clear()
        return sent

    def ask_in_passing(self):
        return self.client.ask(Command.SEND_INDEX, b"", Status, may_wait=True)

    def test_what_may_wait_is_sent_together(self):
        """The first of many goes at once: only who asks thick and fast saves anything by waiting."""
        answers = [self.ask_in_passing() for _ in range(4)]
        self.assertEqual(self.said(), [Command.SEND_INDEX])
        self.clock.advance(TOGETHER)
        self.assertEqual(self.said(), [Command.SEND_INDEX] * 3)
        self.client.dataReceived(4 * OK.pack())
        self.assertEqual([self.successResultOf(answer) for answer in answers], [OK] * 4)
        self.clock.advance(2 * TOGETHER)
        self.ask_in_passing()
        self.assertEqual(self.said(), [Command.SEND_INDEX])

    def test_no_more_than_a_few_wait(self):
        self.ask_in_passing()
        self.said()
        for _ in range(MOST_TOGETHER):
            self.assertEqual(self.said(), [])
            self.ask_in_passing()
        self.assertEqual(self.said(), [Command.SEND_INDEX] * MOST_TOGETHER)
        self.clock.advance(TOGETHER)
        self.assertEqual(self.said(), [])

    def test_nobody_overtakes_what_waits(self):
        self.ask_in_passing()
        self.ask_in_passing()
        self.ask()
        expected = [Command.SEND_INDEX, Command.SEND_INDEX, Command.STREAMS_SENT]
        self.assertEqual(self.said(), expected)
        self.ask_in_passing()
        self.client.tell(Command.SEND_METADATA, b"x" * 12)
        self.assertEqual(self.said(), [Command.SEND_INDEX, Command.SEND_METADATA])
        self.ask_in_passing()
        self.client.hurry()
        self.assertEqual(self.said(), [Command.SEND_INDEX])

    def test_the_end_while_something_waits(self):
        answers = [self.ask_in_passing(), self.ask_in_passing()]
        self.client.connectionLost(Failure(error.ConnectionDone()))
        for answer in answers:
            self.failureResultOf(answer, RelayLost)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_waits_is_sent_before_the_end(self):
        self.ask_in_passing()
        self.ask_in_passing()
        self.client.close()
        self.assertEqual(self.said(), [Command.SEND_INDEX] * 2)

    def test_demand_insists(self):
        answer = Deferred.fromCoroutine(self.client.demand(Command.ADD_STREAM, b"", StreamAdded))
        self.client.dataReceived(StreamAdded(0, 11).pack())
        refusal = self.failureResultOf(answer, RelayRefused).value
        self.assertEqual(str(refusal), "the relay daemon refused ADD_STREAM: UNKNOWN (11)")

    def test_all_questions_fail_when_the_connection_is_lost(self):
        answers = [self.ask(), self.ask()]
        self.client.connectionLost(Failure(error.ConnectionDone()))
        for answer in answers:
            self.failureResultOf(answer, RelayLost)
        self.failureResultOf(self.ask(), RelayLost)
        self.assertEqual(self.lost, ["the relay daemon closed the control connection"])

    def test_patience_is_for_each_answer(self):
        first, second = self.ask(), self.ask()
        self.clock.advance(4)
        self.client.dataReceived(OK.pack())
        self.clock.advance(4)
        self.assertEqual(self.lost, [])
        self.successResultOf(first)
        self.clock.advance(1.1)
        self.failureResultOf(second, RelayLost)
        self.assertEqual(self.lost, ["the relay daemon did not answer STREAMS_SENT within 5 s"])
        self.assertTrue(self.transport.disconnecting)

    def test_nothing_is_left_behind_when_all_is_answered(self):
        answer = self.ask()
        self.client.dataReceived(OK.pack())
        self.successResultOf(answer)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closing_is_no_loss(self):
        self.client.close()
        self.client.connectionLost(Failure(error.ConnectionDone()))
        self.assertEqual(self.lost, [])
