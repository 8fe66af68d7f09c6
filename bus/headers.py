"""The headers of a message, whatever bytes stand where they should: anybody may publish them.

nats-py's own reading ends the connection's, for good, at a block that it did not expect."""

from nats.aio.client import Client
from nats.aio.msg import Msg

_LINE_END = b"\r\n"
_PARTED = _LINE_END.decode()
_VERSION = len(b"NATS/1.0")


def parse(block: bytes) -> dict[str, str] | None:
    """Read a block of headers: the status in its first line, and what is a name and a value in the others.

    The values of a name that comes again stand behind one another, parted by what no value contains."""
    first, *lines = block.split(_LINE_END)
    found: dict[str, str] = {}
    code, _, description = first[_VERSION:].strip().partition(b" ")
    if code.isdigit():
        found["Status"] = code.decode()
        if description:
            found["Description"] = _text(description.strip())
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.strip()
        if colon and name.isascii() and len(name.split()) <= 1:  # No space of any kind is in it.
            written, known = value.strip().decode(errors="surrogateescape"), name.decode()  # The very bytes count.
            found[known] = f"{found[known]}{_PARTED}{written}" if known in found else written
    return found or None


class TolerantClient(Client):
    """A client that goes on reading, whatever has been published."""

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        return parse(headers) if headers else None

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        return Msg(self, _text(subject), _text(reply), data, headers, None, False, sid)


def _text(raw: bytes) -> str:
    """As the server's own answers write it: what is no UTF-8 is replaced."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode(errors="replace")
