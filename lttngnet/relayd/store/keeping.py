"""Sessions that outlive their connections: which there are, and who may go on with one."""

from hashlib import sha256
from hmac import compare_digest

from lttngnet.errors import Code
from lttngnet.relayd.refusal import Refusal
from lttngnet.relayd.store.journal import Journal
from lttngnet.relayd.store.kept import VERSION, Kept
from lttngnet.relayd.store.pool import Pool
from lttngnet.relayd.store.session import Session
from lttngnet.wire.relay.extension import KeepSession, ResumeSession

RESUME_WITHIN = 600  # seconds
KEPT_LIMIT = 1 << 10  # sessions: a quarter of all, so that those who never come back leave room
NOBODY = sha256(b"").hexdigest()  # of no secret: one has 32 bytes


class Keeper:
    """Knows the sessions that may be resumed.

    Args:
        pool: of open files.
        patience: seconds to wait for a peer that comes back.
    """

    def __init__(self, pool: Pool, patience: float) -> None:
        self.patience = patience
        self._pool = pool
        self._sessions: dict[str, Session] = {}

    def begin(self, session: Session, wanted: KeepSession) -> Journal:
        """Begin the journal of a session. Raises Refusal and OSError."""
        identity = wanted.identity.hex()
        if identity in self._sessions:
            raise Refusal(Code.SESSION_EXISTS, "another session is kept under that identity")
        if len(self._sessions) >= KEPT_LIMIT:
            raise Refusal(Code.NOMEM, f"{KEPT_LIMIT} sessions are kept already")
        facts, kept = session.facts, Kept()
        digest = sha256(wanted.secret).hexdigest()
        tracing = facts.tracing
        kept.apply(
            [
                "session",
                VERSION,
                identity,
                digest,
                facts.name,
                facts.hostname,
                facts.minor,
                facts.live_timer,
                tracing.sessiond.hex,
                tracing.session,
                str(tracing.path),
                facts.trace_format,
            ]
        )
        journal = Journal(self._pool, identity, kept)
        self._sessions[identity] = session
        return journal

    def enter(self, identity: str, session: Session) -> None:
        """Know a session that was found. Raises Refusal."""
        if identity in self._sessions:
            raise Refusal(Code.SESSION_EXISTS, "another session is kept under that identity")
        self._sessions[identity] = session

    def end(self, journal: Journal) -> None:
        """The session of a journal cannot be resumed any more."""
        self._sessions.pop(journal.identity, None)

    def find(self, wanted: ResumeSession) -> Session:
        """Return the session that a peer knows the secret of. Raises Refusal."""
        session = self._sessions.get(wanted.identity.hex())
        digest = NOBODY if session is None or session.journal is None else session.journal.digest
        if not compare_digest(digest, sha256(wanted.secret).hexdigest()) or session is None:
            raise Refusal(Code.PERMISSION, "no session of that identity and secret can be resumed")
        return session
