"""Who may put signals in: bearer tokens and HMAC signatures, each with a name, and how much each may send.

Compared in constant time. A token is never logged, quoted or kept in an error: whoever may is known by a name."""

import hashlib
import hmac
from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from remediation_orchestrator.web.problems import Problem

ANYONE = "anyone"
BEARER = "bearer "
# Long enough that nobody finds it by trying.
SECRET_LENGTH_MIN = 16


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Token(_Input):
    """A bearer token."""

    name: str = Field(min_length=1, max_length=64)
    token: SecretStr = Field(min_length=SECRET_LENGTH_MIN)


class Signer(_Input):
    """A secret that a sender signs its bodies with: HMAC-SHA256 over the bytes as sent, in hex, in this header."""

    name: str = Field(min_length=1, max_length=64)
    secret: SecretStr = Field(min_length=SECRET_LENGTH_MIN)
    header: str = "x-signature-256"


class Access(_Input):
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


class Guard:
    """Knows senders by what they show."""

    def __init__(self, access: Access = OPEN) -> None:
        self._tokens = [(one.name, _sha256(one.token.get_secret_value().encode())) for one in access.tokens]
        self._signers = [
            (one.name, one.header.lower(), one.secret.get_secret_value().encode()) for one in access.signers
        ]
        self.names = [one[0] for one in [*self._tokens, *self._signers]] or [ANYONE]

    def by_headers(self, headers: Mapping[str, str]) -> str | None:
        """Who sends, as far as its headers show it; None where only a signature can. Raises Problem 401."""
        if self.names == [ANYONE]:
            return ANYONE
        shown = headers.get("authorization", "")
        if shown[: len(BEARER)].lower() == BEARER:
            shown_hash = _sha256(shown[len(BEARER) :].strip().encode("latin-1"))
            # Every token is compared, so that the time says nothing of which one was nearly right.
            found = [name for name, known in self._tokens if hmac.compare_digest(known, shown_hash)]
            if found:
                return found[0]
            raise _unauthorized("the bearer token is not one of those that are known here")
        if any(header in headers for _, header, _ in self._signers):
            return None
        raise _unauthorized("a bearer token or a signature is missing")

    def by_signature(self, headers: Mapping[str, str], raw: bytes) -> str:
        """Who signed this body. Raises Problem 401."""
        found = None
        for name, header, secret in self._signers:
            shown = headers.get(header, "").strip().removeprefix("sha256=").lower()
            made = hmac.new(secret, raw, hashlib.sha256).hexdigest()
            if hmac.compare_digest(made.encode(), shown.encode("latin-1")):
                found = found or name
        if found is None:
            raise _unauthorized("the signature is not one of this body")
        return found


class Rate:
    """How many bodies a sender may send: so many a second on average, and twice that at once."""

    def __init__(self, per_second: float | None) -> None:
        self._per_second = per_second
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, sender: str, now: float, status: HTTPStatus = HTTPStatus.TOO_MANY_REQUESTS) -> None:
        """Count one body. Raises Problem, with the status that its sender heeds, saying when to come again."""
        if self._per_second is None:
            return
        most = max(2 * self._per_second, 1.0)
        left, since = self._left.get(sender, (most, now))
        left = min(left + (now - since) * self._per_second, most)
        if left < 1:
            self._left[sender] = (left, now)
            wait = int((1 - left) / self._per_second) + 1
            detail = f"more than {self._per_second:g} bodies a second"
            raise Problem(status, detail, retry_after=wait)
        self._left[sender] = (left - 1, now)


def _unauthorized(detail: str) -> Problem:
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"www-authenticate": 'Bearer realm="ro"'})


def _sha256(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
