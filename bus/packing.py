"""Files that are packed where their ending says so: `.gz` by gzip, `.zst` by zstd, any other as it is.

They are read line by line, and no line is longer than a record can be: a kilobyte may unpack to more than a
machine has memory for."""

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from .port import LogError

UNPACKING_ERRORS = (EOFError, zlib.error, zstandard.ZstdError)
"""What reading a packed file may raise, besides OSError."""

# No server takes a message of more than 64 MiB, however it is configured; in base64 it is a third longer, and
# subject, stamp and the words around it are no more than the rest.
LINE_BYTES_MAX = 96 * 1024 * 1024

_CHUNK = 1 << 17
# Of zstd, four bytes may unpack to 128 KiB: what is given to it at once bounds what it gives back, to 32 MiB.
_STEP = 1 << 10


class UnreadableLogError(LogError):
    """The file is no exported log, nor what stands beside one. The message says where and why, in one line."""


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, its line ends with them. Raises OSError, UnreadableLogError."""
    number = 0
    try:
        with read_packed(path) as file:
            while line := file.readline(LINE_BYTES_MAX + 1):
                if len(line) > LINE_BYTES_MAX:
                    raise UnreadableLogError(f"{path}: {_too_long(number)}")
                number += 1
                yield line
    except UNPACKING_ERRORS as error:
        raise UnreadableLogError(f"{path}: {error}{f' after line {number}' if number else ''}") from error


def unpacked_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of what was packed by zstd and came in chunks, without their ends. Raises UnreadableLogError."""
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    rest, number = bytearray(), 0
    for chunk in chunks:
        for start in range(0, len(chunk), _STEP):
            try:
                rest += unpacker.decompress(chunk[start : start + _STEP])
            except zstandard.ZstdError as error:
                raise UnreadableLogError(str(error)) from error
            if b"\n" in rest:
                *lines, last = bytes(rest).split(b"\n")
                yield from lines
                number += len(lines)
                rest = bytearray(last)
            if len(rest) > LINE_BYTES_MAX:
                raise UnreadableLogError(_too_long(number))


def _too_long(lines: int) -> str:
    return f"line {lines + 1} has more than {LINE_BYTES_MAX:,} bytes: no record is so long"


def read_packed(path: Path) -> BinaryIO:
    """Open a file to read what it holds. A packed one that was cut short raises EOFError at its end."""
    match path.suffix:
        case ".gz":
            return io.BufferedReader(cast(io.RawIOBase, gzip.open(path, "rb")), _CHUNK)
        case ".zst":
            return io.BufferedReader(_Unpacking(path), _CHUNK)
        case _:
            return path.open("rb")


def write_packed(path: Path, ending: str) -> BinaryIO:
    """Open a file to write, packed as a file of this ending is."""
    match ending:
        case ".gz":
            return cast(BinaryIO, gzip.open(path, "wb"))
        case ".zst":
            return cast(BinaryIO, zstandard.open(path, "wb"))
        case _:
            return path.open("wb")


class _Unpacking(io.RawIOBase):
    """A zstd file as a stream that knows where it has to end: the library's own ends wherever the file does."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._unpacker = zstandard.ZstdDecompressor().decompressobj(read_across_frames=False)
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: object, /) -> int:
        """Fill the buffer with what comes next; 0 at the end."""
        room = memoryview(buffer)  # type: ignore[arg-type]
        while not self._unpacked and not self._unpacker.eof:
            chunk = self._file.read(_STEP)
            if not chunk:
                raise EOFError("Compressed file ended before its end was reached")
            self._unpacked = memoryview(self._unpacker.decompress(chunk))
        taken = self._unpacked[: len(room)]
        room[: len(taken)] = taken
        self._unpacked = self._unpacked[len(taken) :]
        return len(taken)

    def close(self) -> None:
        """Close the file, too."""
        self._file.close()
        super().close()
