"""A control connection: commands in, answers out, in the same order.

The peer is a session daemon, then its consumer daemon, over the same connection. A failure ends in one of
three ways (LTTng relay protocol, "error handling"): the connection is closed without an answer, or after
an answer with an error number, or stays open after that.
"""

from automat import NoTransition
from twisted.internet.interfaces import IAddress, ITransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from lttngnet.errors import Code, WireError
from lttngnet.log import ChannelLogger
from lttngnet.relayd.commands import HANDLERS
from lttngnet.relayd.handshake import Relay, relay_control
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.session import Session
from lttngnet.relayd.store.store import Store
from lttngnet.wire.framing import Commands
from lttngnet.wire.relay import Answer, Command, CreateSession, GetConfiguration, Status, Version


class ControlChannel(Protocol):
    """Serves one control connection. What it is told is judged by `relay_control`."""

    log = ChannelLogger()
    transport: ITransport

    def __init__(self, store: Store) -> None:
        self._commands = Commands()
        self._relay = Relay(
            self._reply, self._hang_up, self._refused, store.create_session, self._serve, store.allows_clear
        )
        self._control = relay_control(self._relay)
        self._open = True

    def connectionMade(self) -> None:
        """Say who is there."""
        self.log.info("Control connection from {peer}", peer=self.transport.getPeer())

    def dataReceived(self, data: bytes) -> None:
        """Carry out every command that is whole now, in order."""
        try:
            for header, payload in self._commands.feed(data):
                if not self._open:
                    return
                self._hear(header.command, payload)
        except NoTransition as mistake:
            self._hang_up(f"out of order: {mistake}")
        except WireError as mistake:
            self._hang_up(str(mistake))
        except Exception:
            self._confess()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the session; what its data connection has for it still arrives."""
        self._open = False
        self._control.lost()

    def _hear(self, command: int, payload: bytes) -> None:
        """Decode what the machine acts on, so that a bad payload moves no state."""
        match command:
            case Command.VERSION:
                self._control.version(Version.unpack(payload))
            case Command.GET_CONFIGURATION:
                self._control.get_configuration(GetConfiguration.unpack(payload))
            case Command.START_DATA:
                self._control.start_data()
            case Command.CREATE_SESSION:
                self._hear_create(payload)
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

    def _serve(self, session: Session, command: int, payload: bytes) -> None:
        name, handler = Command(command).name, HANDLERS[Command(command)]
        if session.facts.minor < handler.since:
            self._hang_up(f"{name} from a peer of version 2.{session.facts.minor}")
            return
        try:
            answer = handler.act(session, payload)
        except WireError as mistake:
            self._hang_up(str(mistake))
        except (Refusal, OSError) as problem:
            code = problem.code if isinstance(problem, Refusal) else Code.UNKNOWN
            if handler.failed is not None:
                self._reply(handler.failed(code))
            if handler.stays:
                self._refused(f"{name}: {problem}")
            else:
                self._hang_up(f"{name}: {problem}")
        except Exception:
            self._confess()
        else:
            if answer is not None:
                self._reply(answer)

    def _confess(self) -> None:
        """End the connection that met a defect of ours, and no other."""
        self.log.failure("Defect, met by {peer}", peer=self.transport.getPeer())
        self._hang_up("a defect of ours")

    def _reply(self, answer: Answer) -> None:
        self.transport.write(answer.pack())

    def _refused(self, why: str) -> None:
        self.log.warn("Refused {peer}: {why}", peer=self.transport.getPeer(), why=why)

    def _hang_up(self, why: str) -> None:
        self.log.warn("Hanging up on {peer}: {why}", peer=self.transport.getPeer(), why=why)
        self._open = False
        self.transport.loseConnection()
        self._control.hung_up()


class ControlFactory(Factory):
    """Makes a channel for each control connection."""

    noisy = False

    def __init__(self, store: Store) -> None:
        self._store = store

    def buildProtocol(self, addr: IAddress | None) -> ControlChannel:
        """Return the channel of a new connection."""
        return ControlChannel(self._store)
