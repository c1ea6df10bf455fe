"""What the consumer process does at once when its relay daemon goes away: see `lttngnet.consumer.policy`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from lttngnet.consumer.carrier import Carrier
from lttngnet.consumer.directory import DirectorySink
from lttngnet.consumer.policy import Policy
from lttngnet.consumer.relay import RelaySink
from lttngnet.log import Logger
from lttngnet.wire import amp

MOST_FOLDERS = 1000  # names that are tried

Tell = Callable[..., None]


class Losing:
    """Applies the policy of a session.

    Args:
        carrier: whose route is held, or goes elsewhere.
        tell: tells the session daemon, an AMP command and its arguments.
        gave_up: called with a sentence where nothing can be done.

    Attributes:
        policy: the present one.
    """

    log = Logger()

    def __init__(self, carrier: Carrier, tell: Tell, gave_up: Callable[[str], None]) -> None:
        self.policy = Policy()
        self._carrier = carrier
        self._tell = tell
        self._gave_up = gave_up
        self._is_held = False  # by us: not because the user disabled the consumer

    def set(self, policy: Policy) -> None:
        """Apply this from now on."""
        self.policy = policy
        spool = self._carrier.route.spool
        spool.limit, spool.drop = policy.spool_size, policy.spool_drop

    def away(self, sink: RelaySink, why: str) -> None:
        """A relay daemon that keeps the session is away: what comes is held until it is back."""
        self._hold()
        self.log.warn("{why}: what is recorded is held", why=why)
        self._tell(amp.SinkAway, reason=why, resumes=True)

    def lost(self, sink: Any, why: str) -> bool:
        """Another sink is lost; return whether the policy knows what to do."""
        if self.policy.on_loss == "stop" or not isinstance(sink, RelaySink):
            return False
        self._hold()
        self.forsake()
        self.log.warn("{why}", why=why)
        if self.policy.on_loss == "hold":
            self._tell(amp.SinkAway, reason=why, resumes=False)
        else:
            going = Deferred.fromCoroutine(self._go_on_here(why))
            going.addErrback(lambda failure: self._gave_up(f"{why}; and {failure.getErrorMessage()}"))
        return True

    def forsake(self) -> None:
        """Have no sink, if it is a relay daemon that is gone; what it did not confirm will be sent again."""
        route = self._carrier.route
        sink = route.sink
        if not isinstance(sink, RelaySink) or not (sink.is_away or sink.lost):
            return
        if sink.window is not None:
            route.keep_first(sink.window.clear())
        route.leave()
        sink.abandon()

    def disable(self, hold: bool) -> None:
        """The user disables the consumer: see `Carrier.disable`. That a sink is back enables nothing then."""
        self._is_held = False
        self._carrier.disable(hold)

    def enable(self) -> None:
        """The user enables the consumer, which goes on as soon as there is a sink."""
        if self._carrier.route.is_away:
            self._carrier.route.hold()
            self._is_held = True
        else:
            self._carrier.enable()

    async def finish(self) -> None:
        """Close the trace; what was held for a relay daemon that is still away goes to the local folder.

        Raises:
            CommandError: not all could be delivered.
        """
        route = self._carrier.route
        if self.policy.on_loss != "stop" and route.is_away:
            await self._carrier.stop()
            self.forsake()
            if not route.spool.is_empty:
                await self._go_on_here("the relay daemon is away")
        await self._carrier.finish()

    def back(self) -> None:
        """There is a sink again."""
        is_held, self._is_held = self._is_held, False
        if is_held:
            self._carrier.route.go_on()

    def _hold(self) -> None:
        route = self._carrier.route
        if route.state in ("direct", "catching up"):
            self._is_held = True
            route.hold()

    async def _go_on_here(self, why: str) -> None:
        """Go on in the local folder. Raises CommandError and OSError."""
        path = _free(self.policy.folder)
        await self._carrier.use(DirectorySink(str(path), self._gave_up))
        self.back()
        self._tell(amp.SinkMoved, reason=why, path=str(path))


def _free(folder: str) -> Path:
    """Return a folder that is not there: the one that is wanted, or with a number behind its name."""
    wanted = Path(folder)
    for number in range(2, MOST_FOLDERS):
        if not wanted.exists():
            return wanted
        wanted = Path(f"{folder}-{number}")
    raise FileExistsError(f"there are {MOST_FOLDERS} folders like {folder}")
