"""Questions of one application: each is answered before the next one is read."""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lttngnet.errors import CommandError, WireError
from lttngnet.log import ChannelLogger
from lttngnet.sessiond.ust.connection import Connection
from lttngnet.wire.ust.fields import EnumEntry, Field
from lttngnet.wire.ust.questions import (
    ChannelAnswer,
    ChannelQuestion,
    EnumQuestion,
    EventQuestion,
    Question,
    Questions,
    Unanswerable,
    answer_channel,
    answer_enum,
    answer_event,
    refuse,
)

DESCRIPTIONS_LIMIT = 64 << 20
"""Bytes of questions that an application may ask about one session: what they describe stays in memory."""

WARNINGS = 5
"""Questions of an application that are refused with a line in the log; of more, nothing is said."""

ANSWER_PATIENCE = 10.0
"""Seconds after which a question is refused because nobody here answers it. Most applications wait 3."""


class Answerer(Protocol):
    """Who answers an application's questions about one session.

    Each answer may take its time; the application waits. A `CommandError` or `WireError` means that there is
    no answer: the application then goes on without that event or channel, and does not ask again.
    """

    async def describe_channel(self, channel: int, context_fields: tuple[Field, ...]) -> ChannelAnswer:
        """Say which stream a channel (the application's handle) is, and what its events begin with."""

    async def describe_event(self, channel: int, event: EventQuestion) -> int:
        """Return the number that the event has in the stream of that channel, once it is written down."""

    async def describe_enum(self, name: str, entries: Sequence[EnumEntry]) -> int:
        """Return the number of an enumeration."""


class Answering:
    """Answers over a notify socket.

    Args:
        connection: the socket.
        clock: measures our own time.
        who: the application, for the log.
        hold: is called when the application waits for us …
        go_on: … and when it waits no more.
    """

    log = ChannelLogger()

    def __init__(
        self,
        connection: Connection,
        clock: IReactorTime,
        who: str,
        hold: Callable[[], None],
        go_on: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._who = who
        self._hold = hold
        self._go_on = go_on
        self._questions = Questions()
        self._asked: Question | None = None  # the one that is being answered
        self._timer: IDelayedCall | None = None
        self._answerers: dict[int, Answerer | None] = {}  # by session; None is still to come
        self._sizes: dict[int, int] = {}
        self._waiting: Deferred[None] | None = None  # for the answerer of the session that is asked about
        self._refused = 0
        self._is_over = False
        connection.heard = self._heard

    def expect(self, session: int) -> None:
        """A session was made: its questions wait until `serve` says who answers them."""
        self._answerers[session] = None
        self._sizes[session] = 0

    def serve(self, session: int, answerer: Answerer) -> None:
        """Let somebody answer the questions about a session."""
        self._answerers[session] = answerer
        self._sizes.setdefault(session, 0)
        self._wake()

    def forget(self, session: int) -> None:
        """A session is released: questions about it are refused."""
        self._answerers.pop(session, None)
        self._sizes.pop(session, None)
        self._wake()

    def end(self) -> None:
        """Answer nothing any more."""
        self._is_over = True
        self._answerers.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(None)

    def _heard(self, data: bytes) -> None:
        self._questions.receive(data)
        if self._asked is None:
            self._next()

    def _next(self) -> None:
        """Take up the next question, and those after it that are answered at once."""
        while self._asked is None and not self._is_over:
            question = self._questions.next()
            if question is None:
                return
            self._asked = question
            self._hold()
            self._connection.pause()
            self._timer = self._clock.callLater(ANSWER_PATIENCE, self._too_late, question)
            answered = Deferred.fromCoroutine(self._answer(question))
            answered.addErrback(self._is_our_fault, question)
            answered.addCallback(self._say, question, in_turn=not answered.called)

    def _say(self, answer: bytes, question: Question, in_turn: bool = False) -> None:
        if self._asked is not question or self._is_over:
            return  # it was refused meanwhile
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._asked = None
        self._connection.write(answer)
        self._connection.resume()
        self._go_on()
        if in_turn:
            self._take_next()

    def _take_next(self) -> None:
        try:
            self._next()
        except WireError as problem:
            self._connection.fail(str(problem))

    def _too_late(self, question: Question) -> None:
        self._timer = None
        self.log.warn(
            "{who} asked what nobody answered in {seconds:g} s", who=self._who, seconds=ANSWER_PATIENCE
        )
        self._say(refuse(question), question, in_turn=True)

    def _is_our_fault(self, failure: object, question: Question) -> bytes:
        self.log.failure("A question of {who} was not answered", failure, who=self._who)  # type: ignore[arg-type]
        return refuse(question)

    async def _answer(self, question: Question) -> bytes:
        session = question.session
        while session in self._answerers and self._answerers[session] is None:
            self._waiting = Deferred()
            await self._waiting
        answerer = self._answerers.get(session)
        try:
            if isinstance(question, Unanswerable):
                raise WireError(question.why)
            if answerer is None:
                raise WireError(f"there is no session {session}")
            self._sizes[session] += question.size
            if self._sizes[session] > DESCRIPTIONS_LIMIT:
                raise WireError(f"it has described more than {DESCRIPTIONS_LIMIT} bytes")
            return await _ask(answerer, question)
        except (CommandError, WireError) as problem:
            self._refused += 1
            if self._refused <= WARNINGS:
                last = " (more of this is not logged)" if self._refused == WARNINGS else ""
                why = f"{problem}{last}"
                self.log.warn("A question of {who} is refused: {why}", who=self._who, why=why)
            return refuse(question)


async def _ask(answerer: Answerer, question: EventQuestion | ChannelQuestion | EnumQuestion) -> bytes:
    match question:
        case ChannelQuestion(channel=channel, fields=fields):
            return answer_channel(await answerer.describe_channel(channel, fields))
        case EventQuestion(channel=channel):
            return answer_event(await answerer.describe_event(channel, question))
        case EnumQuestion(name=name, entries=entries):
            return answer_enum(await answerer.describe_enum(name, entries))
