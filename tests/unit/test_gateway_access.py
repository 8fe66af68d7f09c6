"""Who may send, and how much: tokens and signatures with names, never shown, and a rate for each."""

import hashlib
import hmac
from pathlib import Path

import pytest

from remediation_orchestrator.documents.files import FileError, read
from remediation_orchestrator.gateway.access import Access, Authenticator, Rate
from remediation_orchestrator.web.problems import HttpProblem

OLD, NEW, SECRET = "the-token-of-last-year", "the-token-of-this-year", "the-secret-of-grafana"
ACCESS = Access.model_validate(
    {
        "tokens": [
            {"name": "2025", "sources": ["a"], "token": OLD},
            {"name": "2026", "sources": ["a"], "token": NEW},
        ],
        "signers": [{"name": "grafana", "sources": ["grafana"], "secret": SECRET}],
    }
)


def signature(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """The header of a signed body."""
    return {"x-signature-256": f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"}


@pytest.mark.parametrize(("token", "name"), [(OLD, "2025"), (NEW, "2026")])
def test_several_tokens_are_valid_at_once_so_that_they_can_be_rotated(token: str, name: str) -> None:
    """A sender is known by the name of what it shows."""
    sender = Authenticator(ACCESS).by_headers({"authorization": f"Bearer {token}"})
    assert sender is not None
    assert (sender.name, sender.authid) == (name, name)


def test_a_signature_over_the_body_is_as_good_as_a_token() -> None:
    """Of the bytes as they were sent."""
    guard, headers = Authenticator(ACCESS), signature(b"{}")
    assert guard.by_headers(headers) is None
    assert guard.by_signature(headers, b"{}").name == "grafana"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {NEW}"},
        {"authorization": f"Bearer {NEW}x"},
        {"authorization": "Bearer \xff\xfe"},
    ],
)
def test_whoever_shows_nothing_that_is_known_is_refused(headers: dict[str, str]) -> None:
    """Without a word of what was shown."""
    with pytest.raises(HttpProblem) as caught:
        Authenticator(ACCESS).by_headers(headers)
    assert caught.value.status == 401
    assert caught.value.headers["www-authenticate"].startswith("Bearer")
    assert NEW not in caught.value.detail


@pytest.mark.parametrize(
    "headers", [signature(b"{ }"), signature(b"{}", "another-secret-of-ours"), {"x-signature-256": "\xff"}]
)
def test_a_signature_of_another_body_or_by_another_secret_is_refused(headers: dict[str, str]) -> None:
    """Only the very bytes count."""
    with pytest.raises(HttpProblem) as caught:
        Authenticator(ACCESS).by_signature(headers, b"{}")
    assert caught.value.status == 401


def test_a_sender_may_send_twice_its_rate_at_once_and_then_waits() -> None:
    """Each sender has a rate of its own; the refusal says when to come again."""
    rate = Rate(2.0)
    for _ in range(4):
        rate.take("a", 100.0)
    with pytest.raises(HttpProblem) as caught:
        rate.take("a", 100.0)
    assert (caught.value.status, caught.value.headers["retry-after"]) == (429, "1")
    rate.take("b", 100.0)
    rate.take("a", 101.0)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tokens: [{name: a, token: '0123456789abcdef'}]", "tokens[0].sources: field required"),
        ("", "there is neither a token nor a signer in it"),
        (
            "tokens: [{name: a, sources: [b], token: short}]",
            "tokens[0].token: value should have at least 16 items",
        ),
        (
            "tokens: [{name: a, sources: [b], tokn: '0123456789abcdef'}]",
            "unknown key tokens[0].tokn; did you mean token?",
        ),
        (
            "tokens: [{name: a, sources: [b], token: '0123456789abcdef'},"
            " {name: a, sources: [b], token: 'fedcba9876543210'}]",
            "two of them have one name",
        ),
    ],
)
def test_a_file_of_tokens_that_cannot_be_used_is_refused_without_quoting_one(
    tmp_path: Path, text: str, line: str
) -> None:
    """Its errors may end up in a log."""
    file = tmp_path / "tokens.yaml"
    file.write_text(text)
    with pytest.raises(FileError) as caught:
        read(file, Access, secret=True)
    assert line in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)
    assert "short" not in str(caught.value)
