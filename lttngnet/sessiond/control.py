"""The session daemon's part of the talk on a control connection: agree on a version, create the session."""

from dataclasses import dataclass
from datetime import datetime

from lttngnet.consumer.control import ControlClient
from lttngnet.consumer.relay import RelaySession
from lttngnet.errors import Code, CommandError
from lttngnet.wire.relay import (
    LOWEST_MINOR,
    MAJOR,
    MINOR,
    Command,
    Configuration,
    CreateSession,
    GetConfiguration,
    SessionCreated,
    SessionCreated24,
    Status,
    Version,
)
from lttngnet.wire.relay.datagrams import REPEATS, DatagramsOpened, OpenDatagrams
from lttngnet.wire.relay.extension import EXTENDED, Extension, KeepSession, ResumeSession, SessionResumed

CLEAR_ALLOWED = 1  # bit of the configuration's flags
UNLIKELY = 99  # no relay daemon has such a major version, but any text read as a number has


@dataclass(frozen=True)
class LastingSession(CreateSession):
    """A session of which nothing is to be lost with its connections.

    Attributes:
        identity: 16 random bytes, if the relay daemon is to keep it where it knows how.
        secret: 32 random bytes.
        resumes: it was made before, and is gone on with.
    """

    identity: bytes = b""
    secret: bytes = b""
    resumes: bool = False


class NotResumed(CommandError):
    """The relay daemon does not know the session any more."""


async def open_session(
    client: ControlClient, wanted: CreateSession, needs_datagrams: bool = False
) -> RelaySession:
    """Agree on a version with the relay daemon and create a session there.

    Args:
        client: of the control connection.
        wanted: the session.
        needs_datagrams: whether its data is to go over UDP.

    Raises:
        CommandError: its protocol is another one, it is too old, or does not know data over UDP.
        RelayLost: the connection ended, or no answer came in time.
        RelayRefused: the relay daemon does not want the session.
    """
    theirs = await client.ask(Command.VERSION, Version(MAJOR, MINOR).pack(), Version)
    if theirs.major > UNLIKELY:
        raise CommandError(
            Code.RELAYD_VERSION_FAIL, "what answers on the control connection is no relay daemon"
        )
    if theirs.major != MAJOR or theirs.minor < LOWEST_MINOR:
        raise CommandError(
            Code.RELAYD_VERSION_FAIL,
            f"the relay daemon speaks protocol {theirs.major}.{theirs.minor}, "
            f"and {MAJOR}.{LOWEST_MINOR} to {MAJOR}.{MINOR} are understood here",
        )
    minor = client.minor = min(MINOR, theirs.minor)
    clears = is_extended = False
    if minor >= 12:
        told = await client.demand(Command.GET_CONFIGURATION, GetConfiguration().pack(), Configuration)
        clears = bool(told.flags & CLEAR_ALLOWED)
        is_extended = bool(told.flags & EXTENDED)
    if needs_datagrams and not is_extended:
        raise CommandError(
            Code.NOT_SUPPORTED,
            "the relay daemon knows no data over UDP, which only lttngnet's does: use tcp:// for data",
        )
    if isinstance(wanted, LastingSession) and wanted.resumes:
        return await _resume(client, wanted, is_extended, clears)
    is_lasting = isinstance(wanted, LastingSession) and not needs_datagrams
    question = wanted.pack(minor)
    if minor >= 11:
        created = await client.demand(Command.CREATE_SESSION, question, SessionCreated)
        session = RelaySession(minor, created.session, created.path, live=wanted.live_timer, clears=clears)
        session.is_windowed = is_lasting
        if is_extended and is_lasting:
            session.identity = await _keep(client, wanted)
        return session
    old = await client.demand(Command.CREATE_SESSION, question, SessionCreated24)
    path = f"{wanted.hostname}/{wanted.base_path or dated(wanted)}"
    return RelaySession(minor, old.session, path, f"/{path}//", wanted.live_timer, is_windowed=is_lasting)


async def _keep(client: ControlClient, wanted: CreateSession) -> str:
    """Have the session kept, if that is wanted; return its identity, or nothing: a relay may keep none."""
    if not isinstance(wanted, LastingSession) or not wanted.identity:
        return ""
    question = KeepSession(wanted.identity, wanted.secret).pack()
    kept = await client.ask(Extension.KEEP_SESSION, question, Status)
    return wanted.identity.hex() if kept.code == Code.OK else ""


async def _resume(
    client: ControlClient, wanted: LastingSession, is_extended: bool, clears: bool
) -> RelaySession:
    unknown = "the relay daemon does not know the session any more"
    if not is_extended:
        raise NotResumed(Code.RELAYD_CONNECT_FAIL, unknown)
    question = ResumeSession(wanted.identity, wanted.secret).pack()
    resumed = await client.ask(Extension.RESUME_SESSION, question, SessionResumed)
    if resumed.code != Code.OK:
        raise NotResumed(Code.RELAYD_CONNECT_FAIL, unknown)
    return RelaySession(
        client.minor,
        resumed.session,
        "",
        live=wanted.live_timer,
        clears=clears,
        identity=wanted.identity.hex(),
        is_windowed=True,
        commands=resumed.commands,
    )


async def open_datagrams(client: ControlClient, repeats: bool) -> DatagramsOpened:
    """Have the data of the session, which was created, over UDP.

    Raises:
        CommandError: the relay daemon does not take it.
        RelayLost: the connection ended, or no answer came in time.
    """
    question = OpenDatagrams(REPEATS if repeats else 0).pack()
    opened = await client.ask(Extension.OPEN_DATAGRAMS, question, DatagramsOpened)
    if opened.code != Code.OK:
        raise CommandError(Code.NOT_SUPPORTED, "the relay daemon takes no data over UDP")
    return opened


def dated(wanted: CreateSession) -> str:
    """Return the session's name with its creation time, as LTTng names the folder of a trace."""
    if wanted.name_has_time:
        return wanted.name
    return f"{wanted.name}-{datetime.fromtimestamp(wanted.created):%Y%m%d-%H%M%S}"
