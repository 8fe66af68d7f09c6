"""A snapshot is used by the code that wrote it: by all that does the same, and by nothing that folds otherwise."""

import pytest

from remediation_orchestrator.orchestrator.snapshots import code_digest, meaning_of

SOURCE = b'''"""What it does."""

LIMIT = 3
"""How much is too much."""


class Count:
    """A count."""

    def is_too_much(self, number: int) -> bool:
        """Say so."""
        return number > LIMIT
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"""What it does."""', b'"""What this does, told better."""'),
        (b'"""How much is too much."""\n', b""),
        (b'        """Say so."""\n', b""),
        (b"LIMIT = 3\n", b"LIMIT = 3  # As many as a person counts.\n"),
        (b"        return number > LIMIT", b"        return (\n            number > LIMIT\n        )"),
    ],
)
def test_what_is_said_about_code_voids_no_snapshot(old: bytes, new: bytes) -> None:
    """Docstrings, comments and lines: an upgrade that changes no more folds no log anew."""
    assert old in SOURCE
    assert meaning_of(SOURCE.replace(old, new)) == meaning_of(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"), [(b"LIMIT = 3", b"LIMIT = 4"), (b"number > LIMIT", b"number >= LIMIT"), (b"Count", b"Sum")]
)
def test_whatever_code_does_otherwise_voids_a_snapshot(old: bytes, new: bytes) -> None:
    """A wrong state that is believed is worse than one that is folded anew."""
    assert meaning_of(SOURCE.replace(old, new)) != meaning_of(SOURCE)


def test_a_text_that_something_is_done_with_is_code() -> None:
    """Only what stands alone is said to people."""
    assert meaning_of(b'said = "a"\n') != meaning_of(b'said = "b"\n')
    assert len(code_digest()) == 64
