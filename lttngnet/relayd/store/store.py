"""All sessions of the daemon, in its output folder."""

import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from uuid import uuid4

from twisted.internet.interfaces import IReactorTime

from lttngnet.errors import Code
from lttngnet.log import Logger
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store import journal, names, recovery
from lttngnet.relayd.store.chunk import ROOT, Chunk, Chunks, Tracing
from lttngnet.relayd.store.facts import Facts
from lttngnet.relayd.store.journal import Journal
from lttngnet.relayd.store.keeping import RESUME_WITHIN, Keeper
from lttngnet.relayd.store.kept import BadRecord, Kept
from lttngnet.relayd.store.late import Strangers
from lttngnet.relayd.store.layout import Grouping, old_stream_path, session_path
from lttngnet.relayd.store.pool import Pool, open_files_limit
from lttngnet.relayd.store.session import Datagrams, Session
from lttngnet.relayd.turns import Rounds
from lttngnet.wire.relay import NIL, CreateSession
from lttngnet.wire.relay.extension import ResumeSession

TRACE_FORMATS = (1, 2)  # CTF 1.8, CTF 2
SESSIONS_LIMIT = 1 << 12  # of the daemon, with those whose control connection is gone
HIGHEST_HANDLE = 1 << 62  # of a stream that is found
CHUNKS_SINCE = 11  # the minor from which on peers say where their sessions and trace chunks lie


class Store:
    """The sessions that are being received.

    Args:
        output: the folder that everything is written below; made when it is needed.
        grouping: what the folders directly below it stand for.
        allows_clear: whether peers may delete what they sent before.
        clock: seconds since the epoch.
        open_files: files that are open at once (see `open_files_limit`).
        reactor: to wait with for what never comes, and to do in turns what takes long; None waits for ever,
            and does everything at once.
        resume_within: seconds in which a session that outlives its connection can be resumed; 0 is never.

    Attributes:
        sessions: by number.
        rounds: gives turns to all connections, and to what sessions leave behind.
        strangers: the data connections that have not said whose they are.
        datagrams: where sessions may have their data over UDP; None where nowhere.
    """

    log = Logger()

    def __init__(
        self,
        output: Path,
        grouping: Grouping = Grouping.HOST,
        allows_clear: bool = True,
        clock: Callable[[], float] = time.time,
        open_files: int | None = None,
        reactor: IReactorTime | None = None,
        resume_within: float = RESUME_WITHIN,
    ) -> None:
        self.allows_clear = allows_clear
        self.sessions: dict[int, Session] = {}
        self.rounds = Rounds(reactor)
        self.strangers = Strangers()
        self.datagrams: Datagrams | None = None
        self._pool = Pool(output, open_files_limit(open_files))
        self._tree = self._pool.tree
        self._grouping = grouping
        self._clock = clock
        self._reactor = reactor
        self._chunks = Chunks(self._pool, self.rounds)
        self._numbers = count(1)
        self._handles = count(1)
        self._trace_numbers = count(1)
        self._keeper = Keeper(self._pool, resume_within) if resume_within else None

    def recover(self) -> None:
        """Find the sessions that were not over when the daemon before this one ended, and keep them again."""
        if self._keeper is None:
            return
        journals = list(journal.found(self._pool, self._not_recovered))
        highest = max((handle for _, kept in journals for handle in kept.streams), default=0)
        self._handles = count(1 + min(highest, HIGHEST_HANDLE))
        taken: set[int] = set()
        for name, kept in journals:
            try:
                if len(self.sessions) >= SESSIONS_LIMIT or taken & kept.streams.keys():
                    raise BadRecord("there are too many sessions, or another one has its streams")
                self._recover(self._keeper, name, kept)
            except (Refusal, OSError, ValueError) as problem:
                self._not_recovered(name, problem)
            else:
                taken |= kept.streams.keys()

    def _recover(self, keeper: Keeper, name: str, kept: Kept) -> None:
        head = recovery.head_of(name, kept)
        tracing = head.tracing
        facts = Facts(
            next(self._numbers),
            head.name,
            head.hostname,
            head.minor,
            head.live_timer,
            False,
            self.allows_clear,
            tracing,
            names.stream_path,
            head.trace_format,
        )
        assert facts.index_minor is not None  # it is no snapshot
        there = recovery.Recovery(self._chunks, tracing, kept, facts.index_minor)
        try:
            chunks = there.chunks()
            streams = [there.stream(each) for each in kept.streams.values()]
            session = self._make_session(facts, None, [])
            session.adopt(Journal(self._pool, name, kept), chunks, streams)
            keeper.enter(name, session)
        finally:
            there.release()
        self.sessions[facts.number] = session
        self.log.info(
            "Session {name} of {hostname} waits to be resumed", name=head.name, hostname=head.hostname
        )

    def _not_recovered(self, name: str, problem: Exception) -> None:
        self.log.error("Journal {name} cannot be resumed: {problem}", name=name, problem=problem)

    def resume_session(self, wanted: ResumeSession) -> Session:
        """Return the session that a peer may go on with. Raises Refusal."""
        if self._keeper is None:
            raise Refusal(Code.NOT_SUPPORTED, "no session can be resumed here")
        return self._keeper.find(wanted)

    def create_session(self, wanted: CreateSession, minor: int) -> Session:
        """Make a session for a control connection that speaks this minor.

        Raises:
            Refusal: a name cannot be, the trace chunk is unknown, or there are too many sessions.
            OSError: its folder cannot be made.
        """
        if len(self.sessions) >= SESSIONS_LIMIT:
            raise Refusal(Code.NOMEM, f"there are {SESSIONS_LIMIT} sessions already")
        if minor >= CHUNKS_SINCE:
            return self._create(wanted, minor)
        return self._create_old(wanted, minor)

    def _create(self, wanted: CreateSession, minor: int) -> Session:
        if wanted.sessiond == NIL:
            raise Refusal(Code.INVALID, "the session daemon has no identity")
        if wanted.trace_format not in TRACE_FORMATS:
            raise Refusal(Code.INVALID, f"trace format {wanted.trace_format} is unknown")
        path = session_path(wanted, self._grouping)
        tracing = Tracing(wanted.sessiond, wanted.session, path)
        chunk = None
        if wanted.chunk is not None:
            chunk = self._chunks.find(tracing, wanted.chunk)
            if chunk is None:
                raise Refusal(Code.INVALID, f"chunk {wanted.chunk} of {path} is unknown")
        return self._enter(wanted, minor, tracing, chunk, names.stream_path, self._tree.make(path))

    def _create_old(self, wanted: CreateSession, minor: int) -> Session:
        """Make a session of a peer whose streams say the whole path, and who knows no trace chunks."""
        names.component(wanted.hostname, "host name")
        name = names.component(wanted.name, "session name")
        created = self._clock()

        def place(path: str) -> PurePosixPath:
            return old_stream_path(path, name, self._grouping, created)

        tracing = Tracing(uuid4(), 0, ROOT)
        chunk = self._chunks.make(tracing, 0, int(created), "", ROOT)
        return self._enter(wanted, minor, tracing, chunk, place, [])

    def _enter(
        self,
        wanted: CreateSession,
        minor: int,
        tracing: Tracing,
        chunk: Chunk | None,
        place: Callable[[str], PurePosixPath],
        made: list[PurePosixPath],
    ) -> Session:
        facts = Facts(
            next(self._numbers),
            wanted.name,
            wanted.hostname,
            minor,
            wanted.live_timer,
            wanted.snapshot,
            self.allows_clear,
            tracing,
            place,
            wanted.trace_format,
        )
        session = self._make_session(facts, chunk, made)
        self.sessions[facts.number] = session
        return session

    def _make_session(self, facts: Facts, chunk: Chunk | None, made: list[PurePosixPath]) -> Session:
        session = Session(
            facts,
            self._chunks,
            chunk,
            self._handles,
            self._trace_numbers,
            partial(self._gone, made),
            self.rounds,
            self.strangers,
            self._reactor,
            self._keeper,
        )
        session.datagrams = self.datagrams
        return session

    def session_of(self, handle: int) -> Session | None:
        """Return the session that has this stream; None if it is unknown."""
        return next((session for session in self.sessions.values() if handle in session.streams), None)

    def is_rotating(self, tracing: Tracing) -> bool:
        """Tell whether a part of a session is between two trace chunks."""
        return bool(self._chunks.rotating) and tracing in self._chunks.rotating.values()

    def close(self) -> None:
        """End all sessions now: what was received is on disk, and every file is closed.

        Those that can be resumed are left to the daemon that comes after this one.
        """
        self.rounds.finish()
        for session in list(self.sessions.values()):
            if session.journal is not None:
                session.rest()
            else:
                session.abort()
                session.end()
        self._pool.close()

    def _gone(self, made: list[PurePosixPath], session: Session) -> None:
        self.sessions.pop(session.facts.number, None)
        if not session.has_written:
            for folder in reversed(made):
                self._tree.remove_empty(folder)
