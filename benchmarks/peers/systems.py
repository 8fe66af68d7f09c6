"""Who is compared: how each is installed and started, and what of its decisions survives."""

from msgspec import Struct

OURS = "ro"


class System(Struct, frozen=True):
    """One way to route signals."""

    key: str
    name: str
    package: str
    """The distribution whose version is shown, in the environment of the dependency group `peer-<package>`."""
    script: str
    """In `inside/`, run by the environment's Python."""
    keeps: str
    """What a decision has behind it when it counts."""
    store: str = ""
    """Handed to the script, where it has a choice."""
    on_stream: bool = False
    """Whether it takes its signals from our server's stream, or from a file in its own process."""
    frames: bool = True
    """Whether signals that arrive as one are decided as one."""

    @property
    def group(self) -> str:
        """What uv installs, alone."""
        return f"peer-{self.package}"


SYSTEMS = {
    system.key: system
    for system in (
        System(OURS, "ours", "", "", "synced by the broker", on_stream=True),
        System(
            "eventsourcing",
            "eventsourcing, SQLite",
            "eventsourcing",
            "event_sourced.py",
            "synced by SQLite",
        ),
        System(
            "faststream",
            "FastStream, JetStream",
            "faststream",
            "faststream_jetstream.py",
            "decisions synced, state in memory",
            on_stream=True,
        ),
        System(
            "dbos",
            "DBOS, SQLite",
            "dbos",
            "dbos_workflows.py",
            "synced by SQLite",
            store="wal",
        ),
        System(
            "rulebook",
            "ansible-rulebook, H2",
            "ansible-rulebook",
            "rulebook_cli.py",
            "written by H2, not synced",
            store="h2-each",
            frames=False,
        ),
        System(
            "rulebook-memory",
            "ansible-rulebook, memory",
            "ansible-rulebook",
            "rulebook_cli.py",
            "not kept",
            store="memory",
            frames=False,
        ),
    )
}


class Figures(Struct):
    """What one system came to, a value for each round. Empty where it has no such thing."""

    system: str
    name: str
    version: str
    keeps: str
    decided: list[float] = []
    """Single signals a second, until the last decision is durable."""
    in_frames: list[float] = []
    """The same, where fifty arrive as one."""
    rate: int = 0
    """Signals a second, for what follows: milliseconds from a signal's time to its command."""
    p50: list[float] = []
    p99: list[float] = []
    commands: int = 0
    start: list[float] = []
    """Seconds from the start of its process to its first decision, after a clean stop where it knows one."""
    after_kill: list[float] = []
    """The same after SIGKILL."""
    remembers: bool | None = None
    """Whether a signal that repeats one from before the kill was taken for a repetition."""
    rebuilt: list[float] = []
    """Signals a second whose consequences are rebuilt from what is stored."""
    peak_mib: list[float] = []
    server_mib: list[float] = []
