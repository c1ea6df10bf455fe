"""The network is down for longer than either side bears in silence."""

from unittest import skipIf

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.interop.test_resume import ResumeCase
from tests.interop.test_ust import UNAVAILABLE

LONG = 30  # seconds


@skipIf(UNAVAILABLE, UNAVAILABLE)
class LongCutTests(ResumeCase):
    async def test_cut_for_half_a_minute(self):
        await self.hold()
        self.space.run("ip", "link", "set", "lo", "down")
        await self.until_away()
        await deferLater(reactor, LONG)
        self.space.run("ip", "link", "set", "lo", "up")
        await self.until_connected(1)
        await self.until_delivered()
        await self.check()
