"""Run one program so that it cannot outlive its executor. Started as a process of its own; standard library only.

Standard input is a pipe from the executor: first a line of JSON that says what to run, then a line for every
confirmation of the claim (`c <instant>`) or to end the run (`k`). The whole family of the program is killed when
that pipe closes, when its deadline comes, or when the claim has not been confirmed for too long; only then is
the end reported, as one line of JSON on standard output. What may not be killed, another user's, is waited for
until then, and named. All instants are of `instant()`.

Two processes do this. The supervisor runs the program; the guard above it ends what a supervisor that was killed
has left behind, and lets none stand still. Neither goes on without the other."""

import contextlib
import ctypes
import errno
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# So often the clock is looked at: a machine that slept wakes up with timers that are late.
TICK = 0.25
# So often while its family is being ended, which takes no longer than this where it may be killed.
ENDING_TICK = 0.01
ENDING_SECONDS = 1.0
# Of what cannot be ended so many are named.
NAMED_MAX = 10
CHUNK = 65_536
EXEC_FAILED = 127
# It ends when its executor says so or is gone, not with the terminal or service that its executor runs in.
IGNORED = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_libc = ctypes.CDLL(None, use_errno=True)


class SupervisedJob(NamedTuple):
    """What is run, and until when."""

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    start_by: float
    deadline: float
    confirmed: float
    lease: float
    grace: float
    tail: int


def instant() -> float:
    """Seconds of a clock that all processes of this machine share and that goes on while it sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def prctl(option: int, value: int) -> None:
    """Linux's prctl; elsewhere nothing, and a process that leaves its group is not found."""
    if sys.platform == "linux":
        _libc.prctl(option, value, 0, 0, 0)


def descendants() -> list[int]:
    """The processes that descend from this one. With it as their subreaper none can leave its family."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if sys.platform == "linux" else ():
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError), open(f"/proc/{entry}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    left = [os.getpid()]
    while left:
        mine = children.get(left.pop(), [])
        found += mine
        left += mine
    return found


def named(processes: list[int]) -> list[str]:
    """Return what is known of processes: for whoever has to end them by hand."""
    found = []
    for process in processes:
        with contextlib.suppress(OSError, IndexError, ValueError):
            user = os.stat(f"/proc/{process}").st_uid
            with open(f"/proc/{process}/stat", "rb") as file:
                name, _, rest = file.read().partition(b"(")[2].rpartition(b")")
            if rest.split()[0] not in (b"Z", b"X"):
                found.append(f"{process} ({name.decode(errors='replace')}, of user {user})")
    more = len(found) - NAMED_MAX
    return found[:NAMED_MAX] + ([f"and {more} more"] if more > 0 else [])


def spawn(job: SupervisedJob, output: int) -> int:
    """Start the program in a session of its own. Return its process id, or raise OSError: it did not begin."""
    failed_read, failed_write = os.pipe()
    supervisor = os.getpid()
    if (child := os.fork()) == 0:
        become(job, output, failed_write, supervisor)
    os.close(failed_write)
    os.close(output)
    code = os.read(failed_read, 16)
    os.close(failed_read)
    if code:
        os.waitpid(child, 0)
        raise OSError(int(code), os.strerror(int(code)))
    return child


def become(job: SupervisedJob, output: int, failed: int, supervisor: int) -> NoReturn:
    """In the child: become the program, or say why not. Never returns."""
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(EXEC_FAILED)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(job.folder)
        for number in IGNORED:
            signal.signal(number, signal.SIG_DFL)
        if instant() > job.start_by:
            raise OSError(errno.ETIME, "too late")
        os.execve(job.arguments[0], job.arguments, job.environment)
    except OSError as error:
        os.write(failed, str(error.errno).encode())
    finally:
        os._exit(EXEC_FAILED)


class SupervisedRun:
    """One program that runs: what it printed last, how it ended, and why it was killed, if it was."""

    def __init__(self, job: SupervisedJob, output: int) -> None:
        self.job = job
        self.confirmed = job.confirmed
        self.output = output
        self.tail = bytearray()
        self.why: str | None = None
        self.status: int | None = None
        self.kill_at: float | None = None
        self.killed_at: float | None = None
        self.commands = b""
        self.child = 0
        self.ended_at = 0.0
        self.left: list[str] = []
        self.guard = os.getppid()

    def watch(self) -> None:
        """Go on until the program has ended, and nothing that it began is left, or nothing that may be killed."""
        watched = [0, self.output]
        while not self.is_over():
            ending = self.status is not None and instant() < self.ended_at + ENDING_SECONDS
            ready = select.select(watched, [], [], ENDING_TICK if ending else TICK)[0]
            if self.output in ready and not self.read_output():
                watched.remove(self.output)
            if 0 in ready and not self.read_commands():
                watched.remove(0)
                self.end("orphaned")
            self.look_at_the_clock()
        os.set_blocking(self.output, False)
        while self.output in watched and self.read_output():
            pass

    def is_over(self) -> bool:
        """Whether the family has ended. What the program began ends with it; what may not be killed is named, when
        it has had its time from the first kill on: this process may have been stopped until then."""
        anybody = self.reap()
        if self.status is not None and not anybody:
            return True
        if self.status is not None:
            self.signal_all(signal.SIGKILL)
        if self.killed_at is None or instant() < self.killed_at + ENDING_SECONDS:
            return False
        self.left = named(descendants())
        return True

    def read_output(self) -> bool:
        """Keep the end of what it printed; return False where there is no more."""
        try:
            read = os.read(self.output, CHUNK)
        except BlockingIOError:
            return False
        self.tail += read
        if len(self.tail) > self.job.tail:
            del self.tail[: -self.job.tail]
        return bool(read)

    def read_commands(self) -> bool:
        """Take the executor's lines; return False where the pipe was closed."""
        read = os.read(0, CHUNK)
        self.take(read)
        return bool(read)

    def take(self, said: bytes) -> None:
        """Do what whole lines ask for; what came with the job itself is no later than what comes now."""
        *lines, self.commands = (self.commands + said).split(b"\n")
        for line in lines:
            if line[:1] == b"c" and not self.is_unconfirmed():
                self.confirmed = max(self.confirmed, float(line[1:]))
            elif line[:1] == b"k":
                self.end("cancelled")

    def is_unconfirmed(self) -> bool:
        """Whether somebody else may have been given this claim. A late confirmation does not give it back."""
        return self.why == "unconfirmed" or instant() > self.confirmed + self.job.lease

    def start_by(self) -> float:
        """Until when it may begin: it may be stopped between this and the program's first step."""
        return min(self.job.start_by, self.confirmed + self.job.lease)

    def look_at_the_clock(self) -> None:
        """Kill what may not go on."""
        if self.is_unconfirmed():
            self.end("unconfirmed", self.confirmed + self.job.lease)
        if os.getppid() != self.guard:
            self.end("unguarded")
        if instant() >= self.job.deadline:
            self.end("deadline", self.job.deadline)
        if self.kill_at is not None and instant() >= self.kill_at:
            self.signal_all(signal.SIGKILL)
            self.killed_at = self.killed_at or instant()

    def end(self, why: str, due: float | None = None) -> None:
        """Ask the family to end, and remember why; whoever does not is killed after the grace.

        That counts from when it was `due`: where all of this stood still until long after, as on a machine that
        was asleep, others may be at its target by now, and nobody is asked any more."""
        if self.why is None:
            now = instant()
            self.why = why
            kill_at = (now if due is None else due) + self.job.grace
            self.kill_at = kill_at
            if now < kill_at:
                self.signal_all(signal.SIGTERM)
                self.signal_all(signal.SIGCONT)

    def signal_all(self, number: int) -> None:
        """Signal the program's group, and whoever left it; before it has begun there is nobody."""
        if self.child and self.status is None:
            quietly(os.killpg, self.child, number)
        for process in descendants():
            quietly(os.kill, process, number)

    def reap(self) -> bool:
        """Collect who has ended, the program too; return whether anybody is left."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if process == 0:
                return True
            if process == self.child:
                self.status = os.waitstatus_to_exitcode(status)
                self.ended_at = instant()
                quietly(os.killpg, self.child, signal.SIGKILL)


def quietly(call: Callable[[int, int], None], process: int, number: int) -> None:
    """Signal a process that may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        call(process, number)


def read_job() -> tuple[SupervisedJob, bytes]:
    """Read the first line, and return with it what was already said after it."""
    said = b""
    while b"\n" not in said:
        read = os.read(0, CHUNK)
        if not read:
            sys.exit(0)
        said += read
    line, _, rest = said.partition(b"\n")
    return SupervisedJob(**json.loads(line)), rest


def report(**what: str | int | bool | list[str] | None) -> None:
    """Tell the executor, if it is still there."""
    left = json.dumps(what).encode() + b"\n"
    with contextlib.suppress(BrokenPipeError):
        while left:
            left = left[os.write(1, left) :]


def supervise(job: SupervisedJob, commands: bytes) -> None:
    """Run the program and report how it ended."""
    output, program_output = os.pipe()
    run = SupervisedRun(job, output)
    run.take(commands)
    if run.is_unconfirmed():
        run.end("unconfirmed")
    if run.why is not None:
        return report(why=run.why, began=False)
    try:
        run.child = spawn(job._replace(start_by=run.start_by()), program_output)
    except OSError as error:
        why = "late" if error.errno == errno.ETIME else "failed"
        return report(why=why, began=False, message=os.strerror(error.errno or 0))
    run.watch()
    said = run.tail.decode("utf-8", "replace")
    return report(why=run.why, began=True, status=run.status, output=said, left=run.left)


def stand_guard(supervisor: int) -> None:
    """Wait for the supervisor's end. Where it has told none, end what it has left, and say so."""
    status = -1
    while status < 0:
        process, how = os.waitpid(-1, os.WUNTRACED)
        if process == supervisor and os.WIFSTOPPED(how):  # Nobody would look at the clock.
            quietly(os.kill, supervisor, signal.SIGCONT)
        elif process == supervisor:
            status = how
    if status == 0:
        return
    left = end_all(lambda: descendants() if any_left() else [])
    report(why="unsupervised", began=True, left=named(left))


def end_all(found: Callable[[], list[int]]) -> list[int]:
    """Kill what is found until nothing is, and return what does not go for long enough. That counts from the first
    kill on: whoever is here may have been stopped, or not been let run, until then."""
    until: float | None = None
    while left := found():
        for process in left:
            quietly(os.kill, process, signal.SIGKILL)
        if until is None:
            until = instant() + ENDING_SECONDS
        elif instant() >= until:
            break
        select.select([], [], [], ENDING_TICK)
    return left


def any_left() -> bool:
    """Collect who has ended; return whether anybody has not."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    return False


def main() -> None:
    """Run one program under two eyes."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    job, commands = read_job()
    if supervisor := os.fork():
        return stand_guard(supervisor)
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # It is not inherited.
    return supervise(job, commands)


if __name__ == "__main__":
    main()
