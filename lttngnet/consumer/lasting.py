"""The control connection of a session that outlives its connections: one `ControlClient` after the other.

What changes something at the relay daemon is numbered, and said again over the next connection until it is
answered: the relay daemon carries it out once (page "Extensions of the relay protocol").
"""

from typing import NamedTuple

from twisted.internet.defer import Deferred, fail

from lttngnet.consumer.control import ControlClient, Kind, Number, demand
from lttngnet.errors import RelayLost
from lttngnet.wire.relay import Answer, Command

NUMBERED = frozenset(
    (
        Command.ADD_STREAM,
        Command.STREAMS_SENT,
        Command.RESET_METADATA,
        Command.CLOSE_STREAM,
        Command.CREATE_TRACE_CHUNK,
        Command.ROTATE_STREAMS,
        Command.CLOSE_TRACE_CHUNK,
    )
)


class Said(NamedTuple):
    """A numbered command. One that has no answer is kept until the relay daemon tells that it has it."""

    number: Number
    payload: bytes
    kind: type[Answer] | None
    answer: Deferred[Answer] | None


class LastingControl:
    """Asks as a `ControlClient` does, over one after the other.

    Args:
        client: the first, on which the session was made.
    """

    def __init__(self, client: ControlClient) -> None:
        self._client = client
        self._is_away = False
        self._over: str | None = None
        self._last = 0
        self._said: dict[int, Said] = {}  # in the order of their numbers

    @property
    def minor(self) -> int:
        """See `ControlClient`."""
        return self._client.minor

    def tell(self, number: Number, payload: bytes = b"") -> None:
        """See `ControlClient.tell`."""
        self._say(Said(number, payload, None, None))

    def ask(
        self, number: Number, payload: bytes, kind: type[Kind], *, may_wait: bool = False
    ) -> Deferred[Kind]:
        """See `ControlClient.ask`: what is not numbered fails with its connection."""
        if number not in NUMBERED:
            if self._is_away or self._over is not None:
                return fail(RelayLost(self._over or "the relay daemon is away"))
            return self._client.ask(number, payload, kind, may_wait=may_wait)
        answer: Deferred[Answer] = Deferred()
        if self._over is not None:
            answer.errback(RelayLost(self._over))
        else:
            self._say(Said(number, payload, kind, answer))  # type: ignore[arg-type]  # see `ControlClient.ask`
        return answer  # type: ignore[return-value]

    async def demand(self, number: Number, payload: bytes, kind: type[Kind]) -> Kind:
        """See `ControlClient.demand`."""
        return await demand(self.ask, number, payload, kind)

    def confirm(self, last: int) -> None:
        """The relay daemon has carried out everything up to that number."""
        for number, said in list(self._said.items()):
            if number > last:
                break
            if said.answer is None:
                del self._said[number]

    def interrupt(self, why: str) -> None:
        """The connection is lost; there will be another one."""
        self._is_away = True
        self._client.on_lost = lambda reason: None
        self._client.abandon(why)

    def resume(self, client: ControlClient, commands: int) -> None:
        """Go on over another connection: say again what may not have arrived, and what was not answered.

        Args:
            client: on which the session was resumed.
            commands: number of the last that was carried out.
        """
        self._client, self._is_away = client, False
        self.confirm(commands)
        for number in list(self._said):
            self._send(number)

    def hurry(self) -> None:
        """See `ControlClient.hurry`."""
        self._client.hurry()

    def close(self) -> None:
        """See `ControlClient.close`."""
        self._client.close()

    def abandon(self, why: str) -> None:
        """See `ControlClient.abandon`."""
        if self._over is None:
            self._over = why
            said, self._said = self._said, {}
            for each in said.values():
                if each.answer is not None:
                    each.answer.errback(RelayLost(why))
            self._client.abandon(why)

    def _say(self, said: Said) -> None:
        if self._over is None:
            self._last += 1
            self._said[self._last] = said
            if not self._is_away:
                self._send(self._last)

    def _send(self, number: int) -> None:
        said = self._said[number]
        if said.kind is None:
            self._client.tell(said.number, said.payload, number)
            return
        asked = self._client.ask(said.number, said.payload, said.kind, circuit_id=number)
        asked.addCallbacks(self._answered, lambda lost: lost.trap(RelayLost), callbackArgs=(number,))

    def _answered(self, answer: Answer, number: int) -> None:
        said = self._said.pop(number, None)
        self.confirm(number)
        if said is not None and said.answer is not None:
            said.answer.callback(answer)
