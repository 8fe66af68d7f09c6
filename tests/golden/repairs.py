"""Golden themes about what repairs leave behind: what a person clears, and what has to show that it has helped."""

from golden.steps import SHORT, completes, ends, fails, objects, proceeds, reaches

from remediation_orchestrator.events import (
    Block,
    BlockCleared,
    Duplicate,
    Phase,
    Reason,
    Refuse,
    RetryRequested,
    Target,
)
from remediation_orchestrator.events.identity import remediation_id
from remediation_orchestrator.orchestrator.routing.policy import policy_of
from remediation_orchestrator.testing.cell import Cell


async def clears(cell: Cell, url: str) -> None:
    """An operator forgives a fingerprint, retries what has failed, and retries what is at work."""
    async with cell.orchestrated(policy_of({**SHORT, "routing": {**SHORT["routing"], "backoff_base": "10m"}})):
        blocked = await cell.signal(resolves=True)
        await proceeds(cell, blocked)
        await fails(cell, blocked)
        await objects(cell, blocked, 2, Block, Reason.EXPONENTIAL_BACKOFF)
        fingerprint = (await cell.verdict(blocked)).situation.fingerprint
        await cell.tell(BlockCleared(fingerprint=fingerprint, by="ops", reason="network is back"))
        await proceeds(cell, blocked, 3, 2)
        await cell.tell(RetryRequested(remediation_id(blocked), by="ops", reason="hurry"))
        await objects(cell, blocked, 4, Duplicate, Reason.DUPLICATE_IN_PROGRESS)
        await completes(cell, blocked, 2)
        failed = await cell.signal(target="cart")
        await proceeds(cell, failed)
        await fails(cell, failed, idempotent=False)
        await reaches(cell, failed, Phase.FAILED)
        await cell.tell(RetryRequested(remediation_id(failed), by="ops", reason="again"))
        await objects(cell, failed, 2, Refuse, Reason.PREVIOUS_EXECUTION_FAILED)
        cleared = (await cell.verdict(failed)).situation.fingerprint
        await cell.tell(BlockCleared(cleared, Target("cart"), "restart", by="ops", reason="looked at it"))
        await cell.tell(RetryRequested(remediation_id(failed), by="ops", reason="again"))
        await proceeds(cell, failed, 3, 2)
        await completes(cell, failed, 2)


async def verification(cell: Cell, url: str) -> None:
    """One repair helps, one does not, twice, until nobody tries any more; of a third nobody knows."""
    told = {"within": "600ms", "settle": "100ms", "chain": 2, "chain_window": "24h"}
    async with cell.orchestrated(policy_of({**SHORT, "verification": told})):
        helped = await cell.signal(target="cart", resolves=True)
        await proceeds(cell, helped)
        await ends(cell, helped)
        await reaches(cell, helped, Phase.VERIFYING)
        await cell.signal(target="cart", status="resolved")
        await reaches(cell, helped, Phase.COMPLETED)
        vain = await cell.signal(resolves=True)
        for run in (1, 2):
            await proceeds(cell, vain, 2 * run - 1, run)
            await ends(cell, vain, run)
        await objects(cell, vain, 4, Refuse, Reason.INEFFECTIVE_CHAIN)
        unknown = await cell.signal(target="till")
        await proceeds(cell, unknown)
        await ends(cell, unknown)
        await reaches(cell, unknown, Phase.COMPLETED)
        await cell.tell(BlockCleared(target=Target("checkout"), by="ops", reason="another image"))
        await cell.tell(RetryRequested(remediation_id(vain), by="ops", reason="again"))
        await proceeds(cell, vain, 5, 3)
        await ends(cell, vain, 3)
        await cell.signal(status="resolved")
        await reaches(cell, vain, Phase.COMPLETED)
