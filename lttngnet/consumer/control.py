"""Our end of a control connection: questions to a relay daemon, answered in their order.

The session daemon makes the handshake with it; then the consumer process goes on over the same socket.
"""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from lttngnet.errors import Code, RelayLost, RelayRefused, WireError
from lttngnet.wire.framing import Answers
from lttngnet.wire.relay import Answer, Command, command
from lttngnet.wire.relay.extension import Extension

Kind = TypeVar("Kind", bound=Answer)
Number = Command | Extension

TOGETHER = 0.05
"""Seconds between two times that questions are sent which may wait."""

MOST_TOGETHER = 64
"""Questions that wait at a time."""


def how_it_ended(which: str, reason: Failure) -> str:
    """Return a sentence about the end of the ``control`` or ``data`` connection."""
    if reason.check(ConnectionDone):
        return f"the relay daemon closed the {which} connection"
    if reason.check(ConnectionLost):
        return f"the {which} connection was cut off"
    return f"the {which} connection was lost: {reason.getErrorMessage()}"


async def demand(
    ask: Callable[[Number, bytes, type[Kind]], Deferred[Kind]],
    number: Number,
    payload: bytes,
    kind: type[Kind],
) -> Kind:
    """Ask, and insist on success; see `ControlClient.demand`."""
    answer = await ask(number, payload, kind)
    code = getattr(answer, "code", Code.OK)
    if code != Code.OK:
        raise RelayRefused(number.name, code)
    return answer


class ControlClient(Protocol):
    """Asks a relay daemon. Questions may be sent without waiting: it answers in their order.

    Questions that come thick and fast, and to whose answers nothing is due at once, may wait a moment and be
    sent together: each would cost both daemons a wake-up, and its answer another.

    Attributes:
        minor: of the protocol, as both sides agreed; 0 before.
        timeout: seconds in which the relay daemon has to answer.
        on_lost: called with the reason, once, when the connection is over, unless we closed it.
    """

    transport: ITransport

    def __init__(self, clock: IReactorTime, timeout: float, on_lost: Callable[[str], None]) -> None:
        self.minor = 0
        self.timeout = timeout
        self.on_lost = on_lost
        self._clock = clock
        self._answers = Answers()
        self._asked: deque[tuple[Number, Deferred[Answer]]] = deque()
        self._patience: IDelayedCall | None = None
        self._over: str | None = None
        self._waiting: list[bytes] = []  # to be sent together …
        self._sending: IDelayedCall | None = None  # … then
        self._sent = float("-inf")  # when questions that may wait were

    def tell(self, number: Number, payload: bytes = b"", circuit_id: int = 0) -> None:
        """Send a command that has no answer; of a session that is kept, numbered."""
        if self._over is None:
            self._send(command(number, payload, circuit_id))

    def ask(
        self,
        number: Number,
        payload: bytes,
        kind: type[Kind],
        *,
        may_wait: bool = False,
        circuit_id: int = 0,
    ) -> Deferred[Kind]:
        """Send a question; the Deferred fires with its answer, or fails with `RelayLost`.

        Args:
            number: of the command.
            payload: that goes with it.
            kind: of the answer.
            may_wait: it may be sent together with others, a little later. The order stays.
            circuit_id: its number, where the session is kept and it has one.
        """
        answer: Deferred[Answer] = Deferred()
        if self._over is not None:
            answer.errback(RelayLost(self._over))
        else:
            self._answers.expect(kind)  # type: ignore[arg-type]  # a TypeVar bound to a union is no union
            self._asked.append((number, answer))
            self._send(command(number, payload, circuit_id), may_wait)
            if self._patience is None:
                self._patience = self._clock.callLater(self.timeout, self._out_of_patience)
        return answer  # type: ignore[return-value]

    async def demand(self, number: Number, payload: bytes, kind: type[Kind]) -> Kind:
        """Ask, and insist on success.

        Raises:
            RelayLost: the connection is over.
            RelayRefused: the answer's code is not OK.
        """
        return await demand(self.ask, number, payload, kind)

    def dataReceived(self, data: bytes) -> None:
        """Hand every whole answer to whoever asked; once it is given up, nobody waits for one."""
        if self._over is not None:
            return
        try:
            for answer in self._answers.feed(data):
                _, asked = self._asked.popleft()
                self._be_patient_again()
                asked.callback(answer)
        except WireError as nonsense:
            self.abandon(f"the relay daemon answered nonsense on the control connection: {nonsense}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail all that was asked."""
        self._lose(how_it_ended("control", reason))

    def close(self) -> None:
        """End the connection in good order, without calling `on_lost`."""
        self.on_lost = lambda reason: None
        self._send_all()
        self.transport.loseConnection()

    def abandon(self, why: str) -> None:
        """End the connection at once."""
        self._lose(why)
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def hurry(self) -> None:
        """Send at once what waits: somebody needs the answers."""
        if self._waiting:
            self._send_all()

    def _send(self, said: bytes, may_wait: bool = False) -> None:
        self._waiting.append(said)
        if not may_wait or len(self._waiting) == MOST_TOGETHER:
            self._send_all()
        elif self._sending is None:
            now = self._clock.seconds()
            left = self._sent + TOGETHER - now
            if left > 0:
                self._sending = self._clock.callLater(left, self._send_all)
            else:  # there was none for long: this one need not wait for more
                self._sent = now
                self._send_all()

    def _send_all(self) -> None:
        if self._sending is not None:
            if self._sending.active():
                self._sending.cancel()
            self._sending = None
            self._sent = self._clock.seconds()
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self.transport.write(b"".join(waiting))

    def _lose(self, why: str) -> None:
        if self._over is not None:
            return
        self._over = why
        self._waiting.clear()
        self._send_all()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        asked, self._asked = self._asked, deque()
        for _, answer in asked:
            answer.errback(RelayLost(why))
        self.on_lost(why)

    def _be_patient_again(self) -> None:
        if self._patience is None:
            return
        if self._asked:
            self._patience.reset(self.timeout)
        else:
            self._patience.cancel()
            self._patience = None

    def _out_of_patience(self) -> None:
        self._patience = None
        self.abandon(f"the relay daemon did not answer {self._asked[0][0].name} within {self.timeout:g} s")
