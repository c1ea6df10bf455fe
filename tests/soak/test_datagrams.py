"""A hundred thousand datagrams that are forged, replayed, damaged or cut short change nothing."""

from twisted.trial.unittest import SynchronousTestCase

from tests.relayd import test_datagrams
from tests.soak.running import SCALE
from tests.wire import test_datagram

FORGERIES = int(100_000 * max(SCALE, 1))


class SealTests(test_datagram.ForgeryMixin, SynchronousTestCase):
    forgeries = FORGERIES


class RelayTests(test_datagrams.ForgeryMixin, test_datagrams.DatagramTestCase):
    forgeries = FORGERIES
