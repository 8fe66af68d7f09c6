"""Planted bugs: each still fits the tree, and those that a simulated day shows at once are seen at once.

The whole suite is `ro-sim plant`; here is a sample of it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from remediation_orchestrator.simulation.main import main
from remediation_orchestrator.simulation.plant import ROOT
from remediation_orchestrator.simulation.plant_file import Plant, PlantError, planted, read_plants

PLANTS = Path(__file__).parents[1] / "plants"
SAMPLE = ("report-given-up", "lock-not-asked")


def plant(**changed: str) -> Plant:
    """A plant that fits, but for what is changed."""
    whole = {
        "name": "p",
        "file": "bus/clock.py",
        "says": "It is wrong.",
        "old": "import time\n",
        "new": "import math\n",
    }
    return Plant(**{**whole, **changed})


def test_every_plant_fits_the_tree() -> None:
    """One that is stale would be found, and prove nothing."""
    for one in read_plants([PLANTS]):
        planted(one, ROOT)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"old": "no such text"}, "stale: its text stands 0 times"),
        ({"old": "e"}, "is stale"),
        ({"new": "import time\n"}, "changes nothing"),
        ({"new": "import (\n"}, "no Python"),
        ({"file": "bus/no_such_file.py"}, "cannot be read"),
    ],
)
def test_a_plant_that_does_not_fit_is_an_error(changed: dict[str, str], says: str) -> None:
    """It is never skipped."""
    with pytest.raises(PlantError, match=says):
        planted(plant(**changed), ROOT)


def test_a_stale_plant_ends_the_command_before_anything_is_tried(tmp_path: Path) -> None:
    """With 2, and its name."""
    (tmp_path / "one.toml").write_text(
        '[[plant]]\nname = "old-one"\nfile = "bus/clock.py"\nsays = "x"\nold = "no such text"\nnew = "y"\n'
    )
    done = CliRunner().invoke(main, ["plant", str(tmp_path)])
    assert done.exit_code == 2
    assert "old-one is stale" in done.output


def test_a_day_sees_the_plants_of_the_sample() -> None:
    """As they are read by programs: an object a plant, with the layer, the seconds and what was noticed."""
    only = [word for name in SAMPLE for word in ("--only", name)]
    done = CliRunner().invoke(main, ["plant", "--layer", "days", "--days", "5", "--jobs", "2", "--json", *only])
    assert done.exit_code == 0, done.output
    seen = [json.loads(line) for line in done.output.splitlines()]
    assert {one["plant"]["name"] for one in seen} == set(SAMPLE)
    assert all("FAILED" in sight["how"] for one in seen for sight in one["sights"])
