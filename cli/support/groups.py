"""Verbs in a group: each is listed with its whole sentence, and one that is misspelt is guessed at."""

from difflib import get_close_matches

import click

# Longer than any sentence: click cuts what is longer in the middle, and wraps what it is given.
UNCUT = 1_000


class VerbGroup(click.Group):
    """A group of verbs."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List every verb with the first sentence of what it does, wrapped and never cut."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(UNCUT)) for name, one in found if one is not None and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that is named. Raises UsageError, which names what is written alike."""
        name = args[0] if args else ""
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = get_close_matches(name, self.list_commands(ctx), n=1)
            raise click.UsageError(f"no verb {name!r}" + (f"; did you mean {near[0]}?" if near else ""), ctx)
        return super().resolve_command(ctx, args)
