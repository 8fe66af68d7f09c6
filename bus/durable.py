"""Files that are there whole or not at all, and on disk when they are said to be: with bytes and names."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_ROOM = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO}
"""What a write says of a file, without its name."""


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """A file of one's own beside another, to be written and put in place; else it is gone at the end.

    Raises OSError where that place is no file's: a device or a pipe would be gone, and a file in its stead."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is there, and no file", str(path))
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
    except OSError as error:
        if error.filename == str(part) or error.errno in NO_ROOM:  # Nobody knows it by that name, or by none.
            error.filename = str(path)
        raise
    finally:
        part.unlink(missing_ok=True)


def put_in_place(fresh: Path, path: Path) -> None:
    """Let a file that was written whole take the place of another, so that a cut of the power leaves either."""
    with fresh.open("rb+") as written:
        os.fsync(written.fileno())
    fresh.replace(path)
    sync_folder(path)


def put_new(fresh: Path, path: Path) -> None:
    """Let a file that was written whole have this name, which nobody else has taken. Raises FileExistsError."""
    with fresh.open("rb+") as written:
        os.fsync(written.fileno())
    os.link(fresh, path)
    fresh.unlink()
    sync_folder(path)


def sync_folder(path: Path) -> None:
    """Have the name of a file on disk, too: it stands in its folder."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
