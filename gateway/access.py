"""Who may put signals in: bearer tokens and HMAC signatures, each with a name, and the sources that it is
for; and how much each may send.

Compared in constant time. A token is never logged, quoted or kept in an error: whoever may is known by a name."""

import hashlib
import hmac
from collections.abc import Collection, Mapping
from http import HTTPStatus

from msgspec import Struct
from pydantic import Field, SecretStr, model_validator

from remediation_orchestrator.documents.files import Written
from remediation_orchestrator.web.problems import HttpProblem

BEARER = "bearer "
# Long enough that nobody finds it by trying.
SECRET_LENGTH_MIN = 16


class _Sender(Written):
    """Whose it is, which sources it is for, and whether what it sends may name the workflow that is to run."""

    name: str = Field(min_length=1, max_length=64)
    sources: list[str] = Field(min_length=1)
    workflows: bool = False


class Token(_Sender):
    """A bearer token."""

    token: SecretStr = Field(min_length=SECRET_LENGTH_MIN)


class Signer(_Sender):
    """A secret that a sender signs its bodies with: HMAC-SHA256 over the bytes as sent, in hex, in this header."""

    secret: SecretStr = Field(min_length=SECRET_LENGTH_MIN)
    header: str = "x-signature-256"


class Access(Written):
    """Whose bodies are taken. With neither tokens nor signers: everybody's."""

    tokens: list[Token] = []
    signers: list[Signer] = []

    @model_validator(mode="after")
    def _names_differ(self) -> "Access":
        names = [*(one.name for one in self.tokens), *(one.name for one in self.signers)]
        if len(set(names)) != len(names):
            raise ValueError("two of them have one name")
        if not names:
            raise ValueError("there is neither a token nor a signer in it")
        return self


OPEN = Access.model_construct(tokens=[], signers=[])


def check_sources(access: Access, known: Collection[str]) -> None:
    """Raises ValueError where somebody may send to a source that is not here: it would never be let in."""
    for one in (*access.tokens, *access.signers):
        for source in one.sources:
            if source not in known:
                raise ValueError(f"{one.name!r} is for {source!r}, and there are {', '.join(sorted(known))}")


class Sender(Struct, frozen=True):
    """Somebody who may send. Without `sources` to all of them."""

    name: str
    sources: frozenset[str] | None = None
    workflows: bool = True

    def check(self, source: str) -> None:
        """Raises HttpProblem 403 where it may not send to this source."""
        if self.sources is not None and source not in self.sources:
            raise HttpProblem(HTTPStatus.FORBIDDEN, f"{self.name!r} is not for {source!r}")

    @property
    def authid(self) -> str:
        """The name that stands in what it sends; nothing where it is anybody's."""
        return "" if self == ANYONE else self.name


ANYONE = Sender("anyone")


class Authenticator:
    """Knows senders by what they show."""

    def __init__(self, access: Access = OPEN) -> None:
        self._tokens = [(_sender(one), _sha256(one.token.get_secret_value().encode())) for one in access.tokens]
        self._signers = [
            (_sender(one), one.header.lower(), one.secret.get_secret_value().encode()) for one in access.signers
        ]
        self.is_open = not self._tokens and not self._signers

    def by_headers(self, headers: Mapping[str, str]) -> Sender | None:
        """Who sends, as far as its headers show it; None where only a signature can. Raises HttpProblem 401."""
        if self.is_open:
            return ANYONE
        shown = headers.get("authorization", "")
        if shown[: len(BEARER)].lower() == BEARER:
            shown_hash = _sha256(shown[len(BEARER) :].strip().encode("latin-1"))
            # Every token is compared, so that the time says nothing of which one was nearly right.
            found = [sender for sender, known in self._tokens if hmac.compare_digest(known, shown_hash)]
            if found:
                return found[0]
            raise _unauthorized("the bearer token is not one of those that are known here")
        if any(header in headers for _, header, _ in self._signers):
            return None
        raise _unauthorized("a bearer token or a signature is missing")

    def by_signature(self, headers: Mapping[str, str], raw: bytes) -> Sender:
        """Who signed this body. Raises HttpProblem 401."""
        found = None
        for sender, header, secret in self._signers:
            shown = headers.get(header, "").strip().removeprefix("sha256=").lower()
            made = hmac.new(secret, raw, hashlib.sha256).hexdigest()
            if hmac.compare_digest(made.encode(), shown.encode("latin-1")):
                found = found or sender
        if found is None:
            raise _unauthorized("the signature is not one of this body")
        return found


class Rate:
    """How many bodies a sender may send: so many a second on average, and twice that at once."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, sender: str, now: float, status: HTTPStatus = HTTPStatus.TOO_MANY_REQUESTS) -> None:
        """Count one body. Raises HttpProblem, with the status that its sender heeds, saying when to come again."""
        if self._per_second is None:
            return
        most = max(2 * self._per_second, 1.0)
        left, since = self._left.get(sender, (most, now))
        left = min(left + (now - since) * self._per_second, most)
        if left < 1:
            self._left[sender] = (left, now)
            wait = int((1 - left) / self._per_second) + 1
            detail = f"more than {self._per_second:g} bodies a second"
            raise HttpProblem(status, detail, retry_after=wait)
        self._left[sender] = (left - 1, now)


def _unauthorized(detail: str) -> HttpProblem:
    return HttpProblem(HTTPStatus.UNAUTHORIZED, detail, headers={"www-authenticate": 'Bearer realm="ro"'})


def _sender(one: Token | Signer) -> Sender:
    return Sender(one.name, frozenset(one.sources), one.workflows)


def _sha256(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
