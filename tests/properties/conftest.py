"""How long hypothesis may look: bounded everywhere, and in CI always the same examples."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("local", max_examples=200, stateful_step_count=40, deadline=None, database=None)
settings.register_profile(
    "ci", settings.get_profile("local"), derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "local")
