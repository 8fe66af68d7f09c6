"""The `ro` command: a verb's module is imported when the verb is called, and every failure is one line.

What it ends with is in the table of exit codes of docs/operating.md."""

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from remediation_orchestrator.bus.embedded import StoreInUseError
from remediation_orchestrator.bus.packing import UnreadableLogError
from remediation_orchestrator.bus.port import ImportedLogError, LogError, LogFullError, OccupiedError

from .support.groups import VerbGroup
from .support.output import BadInputError, plain

VERBS = {
    "demo": "remediation_orchestrator.cli.demo.verb",
    "up": "remediation_orchestrator.cli.up",
    "orchestrator": "remediation_orchestrator.cli.orchestrator",
    "executor": "remediation_orchestrator.cli.executor",
    "gateway": "remediation_orchestrator.cli.gateway",
    "signal": "remediation_orchestrator.cli.signal",
    "list": "remediation_orchestrator.cli.list",
    "show": "remediation_orchestrator.cli.show",
    "fingerprint": "remediation_orchestrator.cli.fingerprint",
    "explain": "remediation_orchestrator.cli.explain",
    "timeline": "remediation_orchestrator.cli.timeline",
    "policy": "remediation_orchestrator.cli.policy",
    "clear": "remediation_orchestrator.cli.clear",
    "retry": "remediation_orchestrator.cli.retry",
    "cancel": "remediation_orchestrator.cli.cancel",
    "approve": "remediation_orchestrator.cli.approve",
    "reject": "remediation_orchestrator.cli.reject",
    "ready": "remediation_orchestrator.cli.ready",
    "audit": "remediation_orchestrator.cli.audit",
    "backtest": "remediation_orchestrator.cli.backtest",
    "replay": "remediation_orchestrator.cli.replay",
    "export": "remediation_orchestrator.cli.export",
    "archive": "remediation_orchestrator.cli.archive",
    "accept": "remediation_orchestrator.cli.accept",
    "import": "remediation_orchestrator.cli.import_log",
    "asyncapi": "remediation_orchestrator.cli.asyncapi",
    "chaos": "remediation_orchestrator.cli.chaos",
}
"""Each module has its click command under the name `verb`."""

NO, BAD, UNREACHABLE = 1, 2, 3
# As a shell reports a program that a signal ended; and sysexits' word for a fault of the program itself.
INTERRUPTED, PIPE_CLOSED, FAULT = 130, 141, 70


class Verbs(VerbGroup):
    """The verbs, none of them imported before it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order of a first acquaintance."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb."""
        module = VERBS.get(cmd_name)
        if module is None:
            return None
        verb: click.Command = importlib.import_module(module).verb
        return verb

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a verb and end the process with its exit code."""
        logging.basicConfig(handlers=[logging.NullHandler()])  # What a library logs is not for standard error.
        sys.exit(self._answer(list(sys.argv[1:] if args is None else args)))

    def _answer(self, args: list[str]) -> int:
        """Run a verb; answer whatever goes wrong with an exit code and one line."""
        try:
            self._run(args)
        except click.exceptions.Exit as done:
            return done.exit_code
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            return BAD
        except click.ClickException as error:
            _complain(error.format_message(), error)
            return error.exit_code
        except BrokenPipeError:  # Whoever read has read enough; nothing may be written at the very end either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_CLOSED
        except (click.Abort, KeyboardInterrupt):
            _complain("interrupted")
            return INTERRUPTED
        except LogError as error:
            _complain(str(error))
            return _code_of(error)
        except OSError as error:
            _complain(f"{error.filename or 'input and output'}: {error.strerror or error}")
            return BAD
        except Exception as error:  # A fault of ours: a person gets a line, not a page.
            _complain(f"a fault in ro itself: {type(error).__name__}: {error}")
            return FAULT
        return 0

    def _run(self, args: list[str]) -> None:
        """Run a verb. Raises what went wrong, and of several things that were done side by side the first."""
        try:
            with self.make_context("ro", args) as context:
                self.invoke(context)
            sys.stdout.flush()
        except BaseExceptionGroup as group:
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from group


def _code_of(error: LogError) -> int:
    match error:
        case StoreInUseError() | LogFullError() | OccupiedError() | ImportedLogError():
            return NO
        case UnreadableLogError():
            return BAD
        case _:
            return UNREACHABLE


def _complain(message: str, error: click.ClickException | None = None) -> None:
    verb = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "ro"
    lines = message.splitlines() if isinstance(error, BadInputError) else [" ".join(message.split())]
    for one in lines:
        click.echo(f"{verb}: {plain(one)}", err=True)


HELP = "Decide, from one event log on NATS JetStream, whether a repair may run now, and show why."
main = click.version_option(package_name="remediation-orchestrator")(Verbs(name="ro", help=HELP))
