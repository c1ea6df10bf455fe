"""Where the snapshots of a session go: its outputs, and what each snapshot is called."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lttngnet.errors import Code, CommandError
from lttngnet.sessiond.consumers import ConsumerProcess
from lttngnet.sessiond.outlet import Surroundings
from lttngnet.uri import Output
from lttngnet.wire.relay import CreateSession


@dataclass(frozen=True)
class Place:
    """An output of snapshots: its number, from 1; its name; and where that is."""

    number: int
    name: str
    output: Output


class Snapshots:
    """The snapshots of one session, one output at most.

    Args:
        session: by name.
        number: of the session.
        created: when it was, seconds since the epoch.
        surroundings: what makes connections.
        output: the first, called ``snapshot-1``.
    """

    def __init__(
        self, session: str, number: int, created: int, surroundings: Surroundings, output: Output
    ) -> None:
        self._session = session
        self._number = number
        self._created = created
        self._surroundings = surroundings
        self._places = [Place(1, "snapshot-1", output)]
        self._added = 1
        self._recorded = 0

    def add(self, name: str, output: Output) -> Place:
        """Add an output; without a name it is ``snapshot-NUMBER``.

        Raises:
            CommandError: there is one already.
        """
        if self._places:
            raise CommandError(
                Code.SNAPSHOT_OUTPUT_EXIST,
                f"session {self._session} has the snapshot output {self._places[0].name}: delete it first",
            )
        self._check(name, output)
        self._added += 1
        self._places.append(Place(self._added, name or f"snapshot-{self._added}", output))
        return self._places[0]

    def delete(self, which: str) -> None:
        """Take an output away, by its name or number.

        Raises:
            CommandError: there is no such one.
        """
        left = [place for place in self._places if which not in (place.name, str(place.number))]
        if len(left) == len(self._places):
            raise CommandError(Code.INVALID, f"session {self._session} has no snapshot output {which}")
        self._places = left

    def describe(self) -> list[dict[str, Any]]:
        """Return what outputs there are."""
        return [
            {"id": place.number, "name": place.name, "output": str(place.output)} for place in self._places
        ]

    async def record(self, consumer: ConsumerProcess, name: str, output: Output | None, max_size: int) -> str:
        """Record a snapshot, to the output that is set or to another one; return where it lies.

        Args:
            consumer: that has the buffers.
            name: takes the place of that of the output, if it is not empty.
            output: another one, or None.
            max_size: bytes that are recorded of the newest, of all streams together; 0 for no limit.

        Raises:
            CommandError: there is no output, or nothing can be recorded there.
        """
        if output is None and not self._places:
            raise CommandError(
                Code.SNAPSHOT_FAIL, f"session {self._session} has no snapshot output: add one, or name one"
            )
        if max_size < 0 or max_size.bit_length() > 63:
            raise CommandError(Code.MAX_SIZE_INVALID, f"a snapshot cannot have a size of {max_size} bytes")
        place = self._places[0] if output is None else Place(0, "snapshot-0", output)
        self._check(name, place.output)
        now = int(self._surroundings.seconds())
        number, self._recorded = self._recorded, self._recorded + 1
        chunk = f"{name or place.name}-{datetime.fromtimestamp(now):%Y%m%d-%H%M%S}-{number}"
        if place.output.path is not None:
            path = str(Path(place.output.path, chunk))
            await consumer.snapshot_to_folder(path, max_size)
            return path
        assert place.output.control is not None
        wanted = CreateSession(
            self._session,
            self._surroundings.hostname,
            place.output.control.subdir,
            snapshot=True,
            sessiond=self._surroundings.sessiond,
            session=self._number,
            created=self._created,
        )
        link = await self._surroundings.establish(place.output, wanted)
        path = f"{link.session.path}/{chunk}"
        await consumer.snapshot_to_relay(link, chunk, number, max_size)
        return path

    def _check(self, name: str, output: Output) -> None:
        if not output.is_complete:
            raise CommandError(Code.INVALID, "a snapshot needs a control and a data URI, or a path")
        if "/" in name or "." in name or len(name.encode()) > 200:
            raise CommandError(
                Code.INVALID,
                f"{name!r} cannot be the name of a snapshot: it needs at most 200 bytes, no '/' or '.'",
            )
