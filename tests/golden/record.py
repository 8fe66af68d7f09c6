"""Record golden logs: real orchestrators and a real executor on a real server, one theme a log.

    PYTHONPATH=tests python -m golden.record NAME...  records these themes; without a name, all that are missing

A log that is there is never recorded again: it is what the core of its day decided."""

import asyncio
import gzip
import logging
import sys
import tempfile
from pathlib import Path

from golden.printed import printed
from golden.themes import THEMES

from remediation_orchestrator.bus.embedded import EmbeddedServer
from remediation_orchestrator.events import CellName
from remediation_orchestrator.events.stored import export_line
from remediation_orchestrator.orchestrator.queries.audit import audit
from remediation_orchestrator.orchestrator.queries.findings import HARMLESS
from remediation_orchestrator.testing.cell import opened

HERE = Path(__file__).parent
# What a person still reads in a diff; a log beyond it is compressed.
PLAIN_BYTES_MAX = 128 * 1024


def main(names: list[str]) -> None:
    """Record what is asked for."""
    logging.disable(logging.WARNING)
    wanted = [name for name in names or THEMES if not names or name in THEMES]
    if unknown := sorted(set(names) - set(THEMES)):
        sys.exit(f"no such theme: {', '.join(unknown)}; there are {', '.join(THEMES)}")
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder)).start()
        try:
            for name in wanted:
                if list(HERE.glob(f"{name}.jsonl*")):
                    print(f"{name}: recorded already, and never again")
                else:
                    asyncio.run(_record(server.url, name))
        finally:
            server.stop()


async def _record(url: str, name: str) -> None:
    async with opened(url, CellName(name)) as cell:
        await THEMES[name](cell, url)
        messages = await cell.messages()
    wrong = [f"{one.position}: {one.drift}: {one.message}" for one in audit(messages) if one.drift not in HARMLESS]
    if wrong:
        sys.exit(f"{name}: not fit to be kept: {wrong[0]}")
    text = b"".join(export_line(message) + b"\n" for message in messages)
    if len(text) > PLAIN_BYTES_MAX:
        (HERE / f"{name}.jsonl.gz").write_bytes(gzip.compress(text, mtime=0))
    else:
        (HERE / f"{name}.jsonl").write_bytes(text)
    (HERE / f"{name}.expected").write_text(printed(messages))
    print(f"{name}: {len(messages)} messages")


if __name__ == "__main__":
    main(sys.argv[1:])
