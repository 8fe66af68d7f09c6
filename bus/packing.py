"""Files that are packed where their ending says so: `.gz` by gzip, `.zst` by zstd, any other as it is."""

import gzip
import io
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

UNPACKING_ERRORS = (EOFError, zlib.error, zstandard.ZstdError)
"""What reading a packed file may raise, besides OSError."""

_CHUNK = 1 << 17


def read_packed(path: Path) -> BinaryIO:
    """Open a file to read what it holds. A packed one that was cut short raises EOFError at its end."""
    match path.suffix:
        case ".gz":
            return cast(BinaryIO, gzip.open(path, "rb"))
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
            chunk = self._file.read(_CHUNK)
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
