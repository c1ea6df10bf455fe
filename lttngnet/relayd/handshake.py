"""What may be said on a control connection, and when (LTTng relay protocol, "Control commands").

    fresh ──version──▶ agreed ──create_session, resume_session──▶ streaming
      └────────────────┴──────── hung_up, lost, displaced ────────────┴──▶ closed

A session daemon agrees on a version, makes the one session of the connection and then hands the connection
to its consumer daemon, which talks about streams. What comes in another order has no transition: the
channel hangs up. The machine knows no transport and no file, and nothing in it raises.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from automat import TypeMachineBuilder

from lttngnet.errors import Code
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.session import Session
from lttngnet.relayd.store.store import CHUNKS_SINCE
from lttngnet.wire.relay import (
    LOWEST_MINOR,
    MAJOR,
    MINOR,
    OK,
    Answer,
    Configuration,
    CreateSession,
    GetConfiguration,
    SessionCreated,
    SessionCreated24,
    Version,
)
from lttngnet.wire.relay.extension import EXTENDED, ResumeSession, SessionResumed

OURS = Version(MAJOR, MINOR)
CLEAR_ALLOWED = 1  # a flag of the configuration


class RelayControl(Protocol):
    """What comes over a control connection, and what becomes of the connection."""

    def version(self, theirs: Version) -> None:
        """VERSION."""

    def get_configuration(self, wanted: GetConfiguration) -> None:
        """GET_CONFIGURATION."""

    def start_data(self) -> None:
        """START_DATA, which no peer needs any more."""

    def create_session(self, wanted: CreateSession) -> None:
        """CREATE_SESSION."""

    def resume_session(self, wanted: ResumeSession) -> None:
        """RESUME_SESSION, which only peers of ours say."""

    def create_unreadable(self, why: str) -> None:
        """CREATE_SESSION with a payload that cannot be one."""

    def tell(self, command: int, payload: bytes) -> None:
        """Any other command: it is about the session."""

    def hung_up(self) -> None:
        """We close the connection, because of what the peer said."""

    def lost(self) -> None:
        """The connection is closed, whoever did it."""

    def displaced(self) -> None:
        """The session is resumed over another connection."""

    def _agreed(self) -> None: ...
    def _opened(self, session: Session) -> None: ...


@dataclass
class Relay:
    """What the machine works with.

    Attributes:
        reply: sends an answer to the peer.
        hang_up: closes the connection and says why in the log.
        refused: says in the log what was answered with an error.
        new_session: makes a session, for a peer of that minor.
        old_session: finds a session that waits for its peer, and that the peer knows the secret of.
        serve: carries out a command about the session.
        allows_clear: whether peers may delete what they sent before.
        minor: of the protocol, that both sides agreed on.
        session: while it is streaming. The channel may then carry out a command about it by itself, without
            the machine, which would do nothing else than `serve`: there are thousands of them in a second.
    """

    reply: Callable[[Answer], None]
    hang_up: Callable[[str], None]
    refused: Callable[[str], None]
    new_session: Callable[[CreateSession, int], Session]
    serve: Callable[[Session, int, bytes], None]
    old_session: Callable[[ResumeSession], Session]
    allows_clear: bool = True
    minor: int = 0
    session: Session | None = None


def remember(control: RelayControl, relay: Relay, session: Session) -> Session:
    """Keep the session as the data of the state that is streaming."""
    relay.session = session
    return session


builder = TypeMachineBuilder(RelayControl, Relay)
fresh = builder.state("fresh")
agreed = builder.state("agreed")
streaming = builder.state("streaming", remember)
closed = builder.state("closed")

fresh.upon(RelayControl._agreed).to(agreed).returns(None)
agreed.upon(RelayControl._opened).to(streaming).returns(None)


@fresh.upon(RelayControl.version).loop()
def answer_version(control: RelayControl, relay: Relay, theirs: Version) -> None:
    """Say our version whatever theirs is, and go on where the major numbers are the same."""
    relay.reply(OURS)
    if theirs.major == OURS.major:
        relay.minor = min(OURS.minor, theirs.minor)
        control._agreed()
    else:
        relay.hang_up(f"it speaks version {theirs.major}.{theirs.minor}, we {OURS.major}.{OURS.minor}")


@agreed.upon(RelayControl.create_session).loop()
def create(control: RelayControl, relay: Relay, wanted: CreateSession) -> None:
    """Make the session; a peer whose session is refused may try another one."""
    if relay.minor < LOWEST_MINOR:
        refuse(relay, f"a peer of version 2.{relay.minor} says no session name")
        return
    try:
        session = relay.new_session(wanted, relay.minor)
    except (Refusal, OSError) as problem:
        refuse(relay, str(problem))
    else:
        number, path = session.facts.number, str(session.facts.tracing.path)
        has_path = relay.minor >= CHUNKS_SINCE
        relay.reply(SessionCreated(number, Code.OK, path) if has_path else SessionCreated24(number, Code.OK))
        control._opened(session)


@agreed.upon(RelayControl.resume_session).loop()
def resume(control: RelayControl, relay: Relay, wanted: ResumeSession) -> None:
    """Go on with a session that was kept."""
    try:
        session = relay.old_session(wanted)
    except (Refusal, OSError) as problem:
        relay.refused(str(problem))
        relay.reply(SessionResumed(0, problem.code if isinstance(problem, Refusal) else Code.FATAL, 0))
    else:
        session.resume()
        assert session.journal is not None
        relay.reply(SessionResumed(session.facts.number, Code.OK, session.journal.kept.commands))
        control._opened(session)


@agreed.upon(RelayControl.create_unreadable).loop()
def create_unreadable(control: RelayControl, relay: Relay, why: str) -> None:
    """Refuse a session that nobody can tell the name of."""
    refuse(relay, why)


def refuse(relay: Relay, why: str) -> None:
    """Answer that there will be no session."""
    relay.refused(why)
    relay.reply((SessionCreated if relay.minor >= CHUNKS_SINCE else SessionCreated24)(0, Code.FATAL))


@streaming.upon(RelayControl.tell).loop()
def serve(control: RelayControl, relay: Relay, session: Session, command: int, payload: bytes) -> None:
    """Carry out a command about the session."""
    relay.serve(session, command, payload)


def answer_configuration(control: RelayControl, relay: Relay, wanted: GetConfiguration) -> None:
    """Say what this daemon allows."""
    if wanted.flags:
        relay.refused(f"GET_CONFIGURATION with flags {wanted.flags:#x}")
        relay.reply(Configuration(Code.INVALID_PROTOCOL, 0))
    else:
        relay.reply(Configuration(Code.OK, EXTENDED | (CLEAR_ALLOWED if relay.allows_clear else 0)))


def answer_start_data(control: RelayControl, relay: Relay) -> None:
    """Agree."""
    relay.reply(OK)


for state in (fresh, agreed):
    state.upon(RelayControl.get_configuration).loop()(answer_configuration)
    state.upon(RelayControl.start_data).loop()(answer_start_data)
    for end in (RelayControl.hung_up, RelayControl.lost, RelayControl.displaced):
        state.upon(end).to(closed).returns(None)


@streaming.upon(RelayControl.get_configuration).loop()
def configuration_while_streaming(
    control: RelayControl, relay: Relay, session: Session, wanted: GetConfiguration
) -> None:
    """Say what this daemon allows."""
    answer_configuration(control, relay, wanted)


@streaming.upon(RelayControl.start_data).loop()
def start_data_while_streaming(control: RelayControl, relay: Relay, session: Session) -> None:
    """Agree."""
    answer_start_data(control, relay)


@streaming.upon(RelayControl.hung_up).to(closed)
def abort(control: RelayControl, relay: Relay, session: Session) -> None:
    """Let go of the session: what is missing of it would come from a peer that makes mistakes."""
    relay.session = None
    session.leave(is_fault=True)


@streaming.upon(RelayControl.lost).to(closed)
def leave(control: RelayControl, relay: Relay, session: Session) -> None:
    """Let go of the session; what its data connection has for it still arrives."""
    relay.session = None
    session.leave(is_fault=False)


@streaming.upon(RelayControl.displaced).to(closed)
def make_way(control: RelayControl, relay: Relay, session: Session) -> None:
    """Leave the session to another connection."""
    relay.session = None


for ignored in (
    RelayControl.version,
    RelayControl.get_configuration,
    RelayControl.start_data,
    RelayControl.create_session,
    RelayControl.create_unreadable,
    RelayControl.tell,
    RelayControl.resume_session,
    RelayControl.hung_up,
    RelayControl.lost,
    RelayControl.displaced,
):
    closed.upon(ignored).loop().returns(None)

relay_control = builder.build()
