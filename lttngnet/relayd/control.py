"""A control connection: commands in, answers out, in the same order.

The peer is a session daemon, then its consumer daemon, over the same connection. A failure ends in one of
three ways (LTTng relay protocol, "error handling"): the connection is closed without an answer, or after
an answer with an error number, or stays open after that.
"""

from collections.abc import Callable, Generator, Iterator

from automat import NoTransition
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from lttngnet.errors import Code, WireError
from lttngnet.log import ChannelLogger, says_everything, says_who_comes
from lttngnet.relayd.commands import HANDLERS, Handler, Parts
from lttngnet.relayd.handshake import Relay, relay_control
from lttngnet.relayd.peers import NO_LIMIT, Peers
from lttngnet.relayd.plane import Handover, Plane
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.journal import Journal
from lttngnet.relayd.store.session import Session
from lttngnet.relayd.store.store import Store
from lttngnet.relayd.turns import IConnection, Turns
from lttngnet.wire.codec import Buffer
from lttngnet.wire.framing import Commands
from lttngnet.wire.relay import (
    METADATA_PART,
    OK,
    Answer,
    Command,
    CommandHeader,
    CreateSession,
    GetConfiguration,
    Status,
    Version,
)
from lttngnet.wire.relay.extension import Extension, ResumeSession

PATIENCE = 60  # seconds for the handshake; seconds in which a peer that is sent answers reads some
OK_BYTES = OK.pack()
SHORT = 100  # bytes: the beginning of an index that is not whole is not longer
_GENUINE = frozenset(Command)
REFUSALS = 100  # of streams and sessions, until we hang up: each is a line in the log


def name_of(command: int) -> str:
    """Return how a known command is called."""
    if command == METADATA_PART:
        return Command.SEND_METADATA.name
    return Command(command).name if command in _GENUINE else Extension(command).name


@implementer(IPushProducer)
class ControlChannel(Protocol, TimeoutMixin):
    """Serves one control connection. What it is told is judged by `relay_control`.

    To the transport it is the producer of the answers: while a peer does not read them, no more of its
    commands are read.
    """

    log = ChannelLogger()
    transport: IConnection

    def __init__(
        self,
        store: Store,
        clock: IReactorTime | None = None,
        peers: Peers | None = None,
        plane: Plane | None = None,
    ) -> None:
        self._plane = plane
        self._commands = Commands()
        self._relay = Relay(
            self._reply,
            self._hang_up,
            self._refused,
            store.create_session,
            self._serve,
            store.resume_session,
            store.allows_clear,
        )
        self._control = relay_control(self._relay)
        self._clock = clock
        self._rounds = store.rounds
        self._peers = Peers(NO_LIMIT) if peers is None else peers
        self._parts: Iterator[None] | None = None  # of a command that takes long
        self._refusals = 0
        self._number = 0  # of the command that is being carried out, where it has one
        self._was_index = False  # what was said last, about the session
        self._open = True

    def connectionMade(self) -> None:
        """Say who is there."""
        if says_who_comes():
            self.log.info("Control connection from {peer}", peer=self.transport.getPeer())
        self._peers.enter()
        if self._plane is not None:
            self.transport = self._plane.lend(self.transport, self)
        self._turns = Turns(self._rounds, self.transport)
        self.transport.registerProducer(self, True)
        self.setTimeout(PATIENCE)

    def dataReceived(self, data: bytes) -> None:
        """Carry out every command that is whole now, in order."""
        self._turns.do(self._carry_out(data))

    def received(self, piece: Buffer) -> bool:
        """See `lttngnet.relayd.plane.Reader`."""
        self._turns.do(self._carry_out(piece))
        return self._turns.are_done

    def missing(self) -> int:
        """See `lttngnet.relayd.plane.Reader`."""
        return 0

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the session after what was said before; what its data connection has for it still arrives."""
        if self._plane is not None:
            self._plane.take_back(self.transport)
        self.setTimeout(None)
        self._turns.end(self._leave())
        if says_who_comes():
            self.log.info("{peer} is gone", peer=self.transport.getPeer())

    def _carry_out(self, data: Buffer) -> Iterator[None]:
        is_first = True
        try:
            for header, payload in self._commands.feed(data):
                if not is_first:
                    yield
                is_first = False
                if not self._open:
                    return
                self._hear(header, payload)
                while self._parts is not None:
                    parts, self._parts = self._parts, None
                    yield from parts
        except NoTransition as mistake:
            self._hang_up(f"out of order: {mistake}")
        except WireError as mistake:
            self._hang_up(str(mistake))
        except Exception:
            self._confess()

    def _leave(self) -> Iterator[None]:
        self._peers.leave()  # not before: what is left of those who are gone counts as well
        self._open = False
        self._control.lost()
        self.setTimeout(None)  # that was set by what was carried out after the connection was gone
        del self._control, self._relay  # which know us: nothing is left for `lttngnet.relayd.garbage`
        yield

    # ------------------------------------------------------------ somebody else serves the connection

    def hand_over(self) -> Handover | None:
        """See `lttngnet.relayd.plane.Channel`. It is worth it where one index comes after the other."""
        session = self._relay.session if self._open else None
        if session is None or not self._was_index or says_everything():
            return None
        rest = self._commands.rest if self._turns.are_done else None
        if rest is None or len(rest) > SHORT or session.facts.index_minor is None:
            return None
        if session.inlet is not None or session.journal is not None:  # there is more to it
            return None
        return Handover(session, is_data=False, head=rest)

    def handed_over(self) -> None:
        """See `lttngnet.relayd.plane.Channel`."""
        self._commands.forget()

    def take_back(self, given: Handover) -> None:
        """See `lttngnet.relayd.plane.Channel`."""
        self._was_index = False
        if given.head:
            self._turns.do(self._carry_out(given.head))

    def failed(self, problem: OSError) -> None:
        """See `lttngnet.relayd.plane.Channel`."""
        session = self._relay.session
        assert session is not None
        self._failed(session, Command.SEND_INDEX, HANDLERS[Command.SEND_INDEX], problem)

    # ------------------------------------------------------------ answers that nobody reads

    def pauseProducing(self) -> None:
        """Hear nothing more: the peer does not read what it is answered."""
        self._turns.hold()
        self.setTimeout(PATIENCE)

    def resumeProducing(self) -> None:
        """Hear it again: it reads."""
        if self._plane is not None:
            self._plane.drained(self.transport)
        self.setTimeout(None if self._relay.session else PATIENCE)
        self._turns.go_on()

    def stopProducing(self) -> None:
        """Do nothing: the connection is gone, and `connectionLost` is next."""

    def timeoutConnection(self) -> None:
        """Let go of a peer that does not say who it is, or does not read."""
        self.log.warn("{peer} does nothing for {time} s", peer=self.transport.getPeer(), time=PATIENCE)
        self.transport.abortConnection()

    def callLater(self, period: float, function: Callable[[], None]) -> IDelayedCall | None:
        """Give `TimeoutMixin` our clock."""
        return self._clock.callLater(period, function) if self._clock else None

    # ------------------------------------------------------------ commands

    def _hear(self, header: CommandHeader, payload: bytes) -> None:
        """Decode what the machine acts on, so that a bad payload moves no state."""
        session, command = self._relay.session, header.command
        if session is not None and command in HANDLERS:
            if header.circuit_id and session.journal is not None:
                self._serve_once(session, session.journal, header, payload)
            else:
                self._serve(session, command, payload)
            return
        match command:
            case Command.VERSION:
                self._control.version(Version.unpack(payload))
            case Command.GET_CONFIGURATION:
                self._control.get_configuration(GetConfiguration.unpack(payload))
            case Command.START_DATA:
                self._control.start_data()
            case Command.CREATE_SESSION:
                self._hear_create(payload)
            case Extension.RESUME_SESSION:
                self._control.resume_session(ResumeSession.unpack(payload))
                self._own()
            case known if known in HANDLERS:
                self._control.tell(known, payload)
            case unknown:
                self._reply(Status(Code.UNKNOWN))
                self._hang_up(f"command {unknown} is unknown")

    def _hear_create(self, payload: bytes) -> None:
        try:
            wanted = CreateSession.unpack(payload, self._relay.minor)
        except WireError as mistake:
            self._control.create_unreadable(str(mistake))
        else:
            self._control.create_session(wanted)
            self._own()

    def _own(self) -> None:
        """Be the connection of the session, if there is one now."""
        if self._relay.session is not None:
            self._relay.session.owner = self
            self.setTimeout(None)  # from now on it may be silent for days

    def displace(self) -> None:
        """See `lttngnet.relayd.store.session.Connection`: what is still to be carried out is not."""
        self.log.info("{peer} makes way for another connection", peer=self.transport.getPeer())
        self._open = False
        self._turns.leave_alone()
        self.setTimeout(None)
        self._control.displaced()
        self.transport.unregisterProducer()
        self.transport.abortConnection()

    def _serve_once(self, session: Session, journal: Journal, header: CommandHeader, payload: bytes) -> None:
        """Carry out a command whose peer repeats it until it is answered, or repeat the answer."""
        number, done = header.circuit_id, journal.kept.commands
        if number > done + 1:
            self._hang_up(f"command number {number} comes after {done}")
        elif number == done + 1:
            if header.command != METADATA_PART:  # the last part will have the number
                journal.gather()
                self._number = number
            self._serve(session, header.command, payload)
        elif header.command not in (METADATA_PART, Command.SEND_METADATA):
            if (answer := journal.kept.answers.get(number)) is None:
                self._hang_up(f"command number {number} was answered long ago")
            else:
                self.transport.write(answer)

    def _serve(self, session: Session, command: int, payload: bytes) -> None:
        handler = HANDLERS[command]
        self._was_index = command == Command.SEND_INDEX
        if says_everything():
            self.log.debug("{peer} says {name}", peer=self.transport.getPeer(), name=name_of(command))
        if session.facts.minor < handler.since:
            self._hang_up(f"{name_of(command)} from a peer of version 2.{session.facts.minor}")
            return
        try:
            answer = handler.act(session, payload)
            if answer is not OK and isinstance(answer, Generator):  # what is asked of most is quickly said
                self._parts = self._go_through(session, command, handler, answer)
            elif self._number:
                self._answer_once(session, answer)
            elif answer is not None:
                self._reply(answer)
        except Exception as problem:
            self._failed(session, command, handler, problem)

    def _go_through(self, session: Session, command: int, handler: Handler, parts: Parts) -> Iterator[None]:
        try:
            answer = yield from parts
            if self._number:
                self._answer_once(session, answer)
            else:
                self._reply(answer)
        except Exception as problem:
            self._failed(session, command, handler, problem)

    def _answer_once(self, session: Session, answer: Answer | None) -> None:
        """Answer a numbered command, once it is written down. Raises OSError."""
        number, self._number = self._number, 0
        data = b"" if answer is None else answer.pack()
        if session.journal is not None:
            session.journal.done(number, data)
        if data:
            self.transport.write(data)

    def _failed(self, session: Session, command: int, handler: Handler, problem: Exception) -> None:
        """Answer a command that failed with this problem, which is being handled."""
        name = name_of(command)
        if session.journal is not None and isinstance(problem, OSError):
            self._hang_up(f"{name}: {problem}")  # without an answer: its peer may come back, and repeat it
        elif self._number and handler.stays and isinstance(problem, Refusal) and handler.failed is not None:
            self._refused(f"{name}: {problem}")
            try:
                self._answer_once(session, handler.failed(problem.code))
            except OSError as full:
                self._hang_up(str(full))
        elif isinstance(problem, WireError):
            self._hang_up(str(problem))
        elif isinstance(problem, Refusal | OSError):
            code = problem.code if isinstance(problem, Refusal) else Code.UNKNOWN
            if handler.failed is not None:
                self._reply(handler.failed(code))
            if handler.stays:
                self._refused(f"{name}: {problem}")
            else:
                self._hang_up(f"{name}: {problem}")
        else:
            self._confess()

    def _confess(self) -> None:
        """End the connection that met a defect of ours, and no other."""
        self.log.failure("Defect, met by {peer}", peer=self.transport.getPeer())
        self._hang_up("a defect of ours")

    def _reply(self, answer: Answer) -> None:
        self.transport.write(OK_BYTES if answer is OK else answer.pack())

    def _refused(self, why: str) -> None:
        self.log.warn("Refused {peer}: {why}", peer=self.transport.getPeer(), why=why)
        self._refusals += 1
        if self._refusals == REFUSALS:
            self._hang_up(f"it was refused {REFUSALS} times")

    def _hang_up(self, why: str) -> None:
        if not self._open:
            return
        self.log.warn("Hanging up on {peer}: {why}", peer=self.transport.getPeer(), why=why)
        self._open = False
        self._turns.leave_alone()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.setTimeout(PATIENCE)  # for the last answers to be read
        self._control.hung_up()


class ControlFactory(Factory):
    """Makes a channel for each control connection.

    Args:
        store: of all sessions.
        clock: the reactor; without it nothing is waited for.
        peers: counts the connections.
        plane: that their sockets are lent to.
    """

    noisy = False

    def __init__(
        self,
        store: Store,
        clock: IReactorTime | None = None,
        peers: Peers | None = None,
        plane: Plane | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._peers = peers
        self._plane = plane

    def buildProtocol(self, addr: IAddress | None) -> ControlChannel:
        """Return the channel of a new connection."""
        return ControlChannel(self._store, self._clock, self._peers, self._plane)
