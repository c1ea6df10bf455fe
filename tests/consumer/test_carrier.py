"""What the consumer process does with sources and a sink."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lttngnet.consumer.carrier import Carrier
from lttngnet.ctf.packet import Silence
from lttngnet.errors import Code, CommandError, RelayLost
from lttngnet.sources import tally


class Source:
    """Notes what it is told."""

    def __init__(self, name, told):
        self.name, self.told = name, told

    async def start(self, sink):
        self.told.append(f"{self.name} start")
        self.stream = await sink.add_stream("trace", self.name)

    async def flush(self):
        self.told.append(f"{self.name} flush")
        return [Silence(self.stream, 0, 99)]

    async def stop(self):
        self.told.append(f"{self.name} stop")

    def close(self):
        self.told.append(f"{self.name} close")

    def pauseProducing(self):
        self.told.append(f"{self.name} pause")

    def resumeProducing(self):
        self.told.append(f"{self.name} resume")

    def waiting(self):
        return 100

    def facts(self):
        return tally.facts({f"channel {self.name}": tally.Tally(events=2, packets=1, bytes=10)})


class Sink:
    """Notes what it is told; fails on demand."""

    lost = ""
    is_away = False

    def __init__(self, told):
        self.told, self.failure = told, None

    async def begin(self):
        self.told.append("begin")

    async def add_stream(self, path, name, limit):
        return 7

    def waiting(self):
        return 7

    def beacon(self, silence):
        self.told.append(f"beacon {silence.stream}")

    async def quiesce(self):
        self.told.append("quiesce")
        if self.failure:
            raise self.failure

    async def finish(self):
        self.told.append("finish")


class CarrierTests(SynchronousTestCase):
    def setUp(self):
        self.told = []
        self.clock = Clock()
        self.carrier = Carrier(lambda kind, config: Source(kind, self.told), self.clock)
        self.sink = Sink(self.told)
        self.do(self.carrier.use(self.sink))
        self.carrier.add_source("a", {})

    def do(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def now(self):
        told = list(self.told)
        del self.told[:]
        return told

    def test_from_begin_to_finish(self):
        self.do(self.carrier.begin())
        self.assertEqual(self.now(), ["begin", "a start", "a resume"])
        self.do(self.carrier.end())
        self.assertEqual(self.now(), ["a resume", "a stop", "quiesce"])
        self.do(self.carrier.begin())
        self.assertEqual(self.now(), ["begin", "a start", "a resume"])
        self.do(self.carrier.finish())
        self.assertEqual(self.now(), ["a resume", "a stop", "quiesce", "finish", "a close"])

    def test_a_source_that_comes_later_is_started_alone(self):
        self.do(self.carrier.begin())
        self.carrier.add_source("b", {})
        self.now()
        self.do(self.carrier.begin())
        self.assertEqual(self.now(), ["begin", "b start", "a resume", "b resume"])

    def test_a_slow_sink_pauses_the_sources(self):
        self.do(self.carrier.begin())
        self.now()
        self.carrier.pauseProducing()
        self.carrier.resumeProducing()
        self.assertEqual(self.now(), ["a pause", "a resume"])

    def test_disabled_they_go_on(self):
        for hold, state in ((False, "dropping"), (True, "holding")):
            self.do(self.carrier.begin())
            self.carrier.disable(hold)
            self.assertEqual(self.carrier.route.state, state)
            self.now()
            self.do(self.carrier.end())
            self.assertEqual(self.now(), ["a resume", "a stop", "quiesce"])
            self.carrier.enable()
            self.assertEqual(self.carrier.route.state, "direct")

    def test_a_lost_relay_daemon_is_told_in_one_sentence_and_the_sources_are_closed(self):
        self.do(self.carrier.begin())
        self.now()
        self.sink.failure = RelayLost("the control connection was lost")
        error = self.failureResultOf(Deferred.fromCoroutine(self.carrier.finish()), CommandError).value
        self.assertEqual(
            (error.code, error.sentence), (Code.RELAYD_CONNECT_FAIL, "the control connection was lost")
        )
        self.assertEqual(self.now(), ["a resume", "a stop", "quiesce", "a close"])

    def test_finish_without_a_sink(self):
        carrier = Carrier(lambda kind, config: Source(kind, self.told), self.clock)
        self.do(carrier.finish())

    def test_facts_are_summed(self):
        self.carrier.add_source("b", {})
        facts = self.carrier.facts()
        one = {"events": 2, "packets": 1, "bytes": 10, "discarded": 0, "lost": 0}
        self.assertEqual(facts.pop("channels"), {"a": {"channel a": one}, "b": {"channel b": one}})
        sums = {"events": 4, "packets": 2, "bytes": 20, "discarded": 0, "lost": 0}
        self.assertEqual(facts, sums | {"spooled": 0, "dropped": 0, "waiting": 2 * 100 + 7})


class LiveTests(SynchronousTestCase):
    def setUp(self):
        self.told, self.clock = [], Clock()
        self.carrier = Carrier(lambda kind, config: Source(kind, self.told), self.clock)
        self.do(self.carrier.use(Sink(self.told), live=0.5))
        self.carrier.add_source("a", {})
        self.do(self.carrier.begin())
        self.now()

    do, now = CarrierTests.do, CarrierTests.now

    def test_once_a_period(self):
        for _ in range(2):
            self.clock.advance(0.5)
            self.assertEqual(self.now(), ["a flush", "beacon 7"])
        self.do(self.carrier.begin())
        self.now()
        self.clock.advance(0.5)
        self.assertEqual(self.now(), ["a flush", "beacon 7"])

    def test_not_while_nothing_is_consumed(self):
        self.carrier.pauseProducing()
        self.now()
        self.clock.advance(0.5)
        self.assertEqual(self.now(), [])

    def test_until_the_end(self):
        self.do(self.carrier.end())
        self.now()
        self.clock.advance(5)
        self.assertEqual((self.now(), self.clock.getDelayedCalls()), ([], []))

    def test_closed(self):
        self.carrier.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
