"""Store a record that expects what stood before it on its subject, once, whatever becomes of the answers.

Whoever may read can have the server store a record once more, under its own subject and with its own headers.
Where it says what stood before it, the server refuses."""

from .port import EventLog, LogError, StaleWriteError, UnknownOutcomeError

# Each try waits for seconds, and the server knows the id for minutes.
UNANSWERED_TRIES = 3
# Who is overtaken so often in a row does not meet an accident.
OVERTAKEN_TRIES = 20


async def append_behind(log: EventLog, subject: str, payload: bytes, *, message_id: str, last: int = 0) -> int:
    """Store a record behind the last one on its subject, and return its sequence. Raises LogError.

    `last` is what was seen there last. Nothing is read: the server says what stands there, and knows by the id
    what it has stored already, also for whoever calls this again."""
    unanswered = overtaken = 0
    while True:
        try:
            return await log.append(subject, payload, expect=last, message_id=message_id)
        except StaleWriteError as conflict:
            overtaken += 1
            if overtaken > OVERTAKEN_TRIES or conflict.last is None:
                raise LogError(f"{subject}: others write there without end") from None
            last = conflict.last
        except UnknownOutcomeError:
            unanswered += 1
            if unanswered >= UNANSWERED_TRIES:
                raise
