"""What is compared: the loads, what of them is told, and what is to be reached."""

from dataclasses import dataclass

LIVE = ("-l", "1000000", "-V")  # a live session of a period of a second, read back


@dataclass(frozen=True)
class Quantity:
    """A figure of each run.

    Attributes:
        key: of the measured value; dots lead into what is inside.
        what: that it is, as a word.
        unit: for people.
        least: that the ratio, ours to the genuine one's, is to be; None where more is not better.
        most: that the ratio is to be at most; None where less is not better.
        is_absolute: whether `least` and `most` are said of our value instead.
    """

    key: str
    what: str
    unit: str
    least: float | None = None
    most: float | None = None
    is_absolute: bool = False


@dataclass(frozen=True)
class Case:
    """A load, or a start.

    Attributes:
        name: for the command line.
        title: for people.
        quantities: that are compared.
        arguments: of `relayload`; none measures how long the daemon takes to start.
        full: how much of it, for the page.
        quick: how much of it for an impression; None leaves the case out.
        on_disk: whether it is written to the disk, else to memory.
        ours: arguments for our daemon alone.
        is_fresh: whether each run is with a daemon that was just started.
    """

    name: str
    title: str
    quantities: tuple[Quantity, ...]
    arguments: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = ()
    on_disk: bool = True
    ours: tuple[str, ...] = ()
    is_fresh: bool = False


def _rate(least: float) -> Quantity:
    return Quantity("mib_per_s", "throughput", "MiB/s", least=least)


def _packets(least: float) -> Quantity:
    return Quantity("packets_per_s", "throughput", "packets/s", least=least)


def _cpu(most: float) -> Quantity:
    return Quantity("cpu_s_per_gib", "CPU", "s/GiB", most=most)


def _cpu_per_packet(most: float) -> Quantity:
    return Quantity("cpu_us_per_packet", "CPU", "µs/packet", most=most)


def _sync(name: str, title: str, full: str, quick: str, speed: Quantity, cpu: Quantity) -> list[Case]:
    """A packet, its index, and the answer before the next one: what every consumer daemon does."""
    return [
        Case(
            f"ingest-{name}-{where}",
            f"{title}, waiting for each index, {where}",
            (speed, cpu),
            ("-p", name),
            ("-b", full),
            ("-b", quick),
            on_disk=where == "disk",
        )
        for where in ("disk", "memory")
    ]


def _viewed(size: str, full: str, quick: str, least: float, most: float) -> Case:
    return Case(
        f"live-{size}",
        f"live, one viewer, {size[:-1]} KiB packets",
        (
            Quantity("viewer.requests_per_s", "throughput", "requests/s", least=least),
            Quantity("viewer.cpu_us_per_request", "CPU", "µs/request", most=most),
        ),
        (*LIVE, "-p", size),
        ("-b", full),
        ("-b", quick),
        on_disk=False,
    )


CASES = (
    *_sync("1M", "1 MiB packets", "1G", "128M", _rate(1.4), _cpu(0.7)),
    *_sync("512K", "512 KiB packets", "1G", "128M", _rate(1.4), _cpu(0.7)),
    *_sync("64K", "64 KiB packets", "512M", "64M", _rate(1.2), _cpu(0.85)),
    *_sync("4K", "4 KiB packets", "96M", "8M", _packets(1.5), _cpu_per_packet(0.85)),
    Case(
        "pipelined-4K",
        "4 KiB packets, 256 indexes unanswered",
        (_packets(3.5), _cpu_per_packet(0.3)),
        ("-p", "4K", "-w", "256", "-B", "8"),
        ("-b", "256M"),
        ("-b", "16M"),
    ),
    Case(
        "pipelined-512K",
        "512 KiB packets, 16 indexes unanswered",
        (_rate(1.0), _cpu(0.85)),
        ("-p", "512K", "-w", "16"),
        ("-b", "1G"),
        ("-b", "128M"),
        on_disk=False,
    ),
    Case(
        "four-sessions",
        "4 sessions at once, 256 KiB packets",
        (_rate(1.8), _cpu(0.6)),
        ("-s", "4", "-p", "256K"),
        ("-b", "1G"),
        ("-b", "128M"),
    ),
    Case(
        "paced",
        "200 MiB/s of 512 KiB packets",
        (_cpu(0.9),),
        ("-p", "512K", "-r", "200"),
        ("-b", "600M"),
        ("-b", "100M"),
        on_disk=False,
    ),
    Case(
        "set-up",
        "sessions set up, one after the other",
        (
            Quantity("handshakes_per_s", "throughput", "sessions/s", least=0.9),
            Quantity("cpu_us_per_handshake", "CPU", "µs/session", most=1.2),
        ),
        (),
        ("--handshakes=1000",),
        ("--handshakes=150",),
    ),
    _viewed("4K", "64M", "4M", 0.8, 1.2),
    _viewed("64K", "512M", "32M", 1.0, 1.0),
    _viewed("512K", "1G", "64M", 1.2, 0.8),
    Case(
        "live-8-viewers",
        "live, 8 viewers of one session (of the genuine one: 1), 64 KiB packets",
        (Quantity("viewer.mib_per_s", "throughput", "MiB/s", least=3.0),),
        (*LIVE, "-p", "64K"),
        ("-b", "256M"),
        ("-b", "16M"),
        on_disk=False,
        ours=("--viewers=8",),
    ),
    Case(
        "idle-sessions",
        "1000 idle sessions of 3 streams",
        (Quantity("rss_growth_kib", "memory", "KiB", most=32 * 1024, is_absolute=True),),
        ("-n", "2"),  # and one of metadata
        ("--idle=1000",),
        ("--idle=1000",),
        on_disk=False,
        is_fresh=True,
    ),
    Case(
        "start",
        "start to listening",
        (Quantity("listening_ms", "time", "ms", most=250, is_absolute=True),),
    ),
)
