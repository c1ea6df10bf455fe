"""What a session traces: its domains, which of them a consumer carries, and which record."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lttngnet.errors import Code, CommandError
from lttngnet.log import Logger
from lttngnet.sessiond.consumers import ConsumerProcess
from lttngnet.sources.tally import total

Maker = Callable[[str, Callable[[str], Any]], Any]
"""Makes an `IDomain` of the name of a session, and of what gives that session's domain of a name."""


class Recording:
    """The domains of one session (each an `IDomain`), made when they are first wanted.

    Args:
        session: by name.
        makers: what makes the domain of a name for a session of a name; it may ask for other domains of
            the session, which are made then if need be.
    """

    log = Logger()

    def __init__(self, session: str, makers: Mapping[str, Maker]) -> None:
        self._session = session
        self._makers = makers
        self._domains: dict[str, Any] = {}
        self._courier: ConsumerProcess | None = None
        self._attached: set[str] = set()  # domains whose sources the courier has
        self._running: set[str] = set()  # domains that record

    def domain(self, name: str) -> Any:
        """Return the domain of a name, made now if need be.

        Raises:
            CommandError: it cannot be traced here.
        """
        if name not in self._makers:
            raise CommandError(Code.UNKNOWN_DOMAIN, f"there is no domain {name!r} to trace")
        if name not in self._domains:
            self._domains[name] = self._makers[name](self._session, self.domain)
        return self._domains[name]

    def known(self, name: str) -> Any:
        """Return a domain that was made before.

        Raises:
            CommandError: it was not.
        """
        if name not in self._domains:
            raise CommandError(Code.NO_EVENT, f"session {self._session} traces no {name} events")
        return self._domains[name]

    def used(self) -> list[Any]:
        """Return the domains that have something to trace."""
        return [domain for domain in self._domains.values() if not domain.is_empty()]

    def records(self, name: str) -> bool:
        """Tell whether a domain records."""
        return name in self._running

    async def run(self, courier: ConsumerProcess) -> None:
        """Let every domain record that has something to and does not; its source is carried before.

        Raises:
            CommandError: a tracer or the consumer fails.
        """
        if courier is not self._courier:
            self._courier, self._attached = courier, set()
        for domain in self.used():
            if domain.name not in self._attached:
                await domain.attach(courier)
                self._attached.add(domain.name)
        await courier.begin()
        for domain in self.used():
            if domain.name not in self._running:
                self._running.add(domain.name)
                await domain.start()

    async def regenerate(self, what: str) -> None:
        """Have every running domain write something anew; see `IDomain.regenerate`.

        Raises:
            CommandError: no domain can.
        """
        refusals, done = [], False
        for name in sorted(self._running):
            try:
                await self._domains[name].regenerate(what)
                done = True
            except CommandError as refusal:
                if refusal.code is not Code.NOT_SUPPORTED:
                    raise
                refusals.append(refusal)
        if refusals and not done:
            raise refusals[0]

    async def halt(self) -> None:
        """Let no domain record any more, also one whose events were all disabled since it began."""
        running = [self._domains[name] for name in sorted(self._running)]
        self._running.clear()
        await self._each(running, "stop")

    async def detach(self) -> None:
        """Stop, and let go of all that was made for the consumer process: it is gone, or will be."""
        await self.halt()
        attached = [domain for name, domain in self._domains.items() if name in self._attached]
        self._courier = None
        self._attached.clear()
        await self._each(attached, "detach")

    async def destroy(self) -> None:
        """Take down all that the domains have set up."""
        domains = list(self._domains.values())
        self._domains.clear()
        await self._each(domains, "destroy")

    def describe(self, counted: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return what each domain tells of itself, with the counters of each channel as its ``facts``.

        Args:
            counted: the counters of channels, by the kind of the source and the name of the channel.
        """
        domains = []
        for domain in self.used():
            facts = domain.describe()
            for channel in facts["channels"]:
                kinds = channel.pop("sources", [domain.name])
                known = (counted.get(kind, {}).get(channel["name"], {}) for kind in kinds)
                channel["facts"] = total(known)
            domains.append({"name": domain.name, **facts})
        return domains

    async def _each(self, domains: Iterable[Any], what: str) -> None:
        """Do something with every domain; what fails is logged, and does not keep the others from it."""
        for domain in domains:
            try:
                await getattr(domain, what)()
            except (CommandError, OSError) as problem:
                self.log.error(
                    "{domain} of session {session}: {what} failed: {problem}",
                    domain=domain.name,
                    session=self._session,
                    what=what,
                    problem=problem,
                )
