"""Planted bugs: each still fits the tree, and those that a simulated day shows at once are seen at once.

The whole suite is `ro-sim plant`; here is a sample of it."""

import json
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from remediation_orchestrator.simulation.main import main
from remediation_orchestrator.simulation.plant import ROOT
from remediation_orchestrator.simulation.plant_file import Plant, PlantError, planted, read_plants
from remediation_orchestrator.simulation.plant_layers import Bounds, Layer, Sight, run
from remediation_orchestrator.simulation.plant_results import digest_of, keep_result, read_results, seen

PLANTS = Path(__file__).parents[1] / "plants"
PAGE = ROOT / "docs" / "reliability.md"
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


def test_the_plant_that_the_page_shows_is_one_of_them() -> None:
    """Word for word."""
    shown = re.findall(r"^```toml\n(\[\[plant]]\n.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(shown) == 1
    everything = "".join(path.read_text() for path in PLANTS.glob("*.toml"))
    assert shown[0] in everything


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
    done = CliRunner().invoke(main, ["plant", "--layer", "days", "--days", "6", "--jobs", "2", "--json", *only])
    assert done.exit_code == 0, done.output
    seen = [json.loads(line) for line in done.output.splitlines()]
    assert {one["name"] for one in seen} == set(SAMPLE)
    assert all("FAILED" in sight["how"] for one in seen for sight in one["sights"])


def test_a_run_that_was_interrupted_goes_on_from_its_results(tmp_path: Path) -> None:
    """What is known is not tried again; another mistake under the same name is another plant."""
    file = tmp_path / "results.jsonl"
    known, same_name = plant(name="known"), plant(name="known", new="import abc\n")
    sights = [Sight(Layer.DAYS, found=False, processor=1.0), Sight(Layer.WORLDS, found=True, processor=2.0)]
    keep_result(file, seen(known, sights[:1]))
    keep_result(file, seen(known, sights))
    assert read_results(file) == {digest_of(known): seen(known, sights)}
    assert digest_of(same_name) not in read_results(file)


def test_what_is_done_is_not_tried_again(tmp_path: Path) -> None:
    """Every plant of the sample is in the file, so nothing is copied and nobody asked."""
    file = tmp_path / "results.jsonl"
    for one in read_plants([PLANTS]):
        if one.name in SAMPLE:
            keep_result(file, seen(one, [Sight(Layer.DAYS, found=True, processor=1.0, how="seed 0 FAILED")]))
    only = [word for name in SAMPLE for word in ("--only", name)]
    done = CliRunner().invoke(main, ["plant", "--layer", "days", "--results", str(file), *only])
    assert done.exit_code == 0, done.output
    assert "2 plants, 0 survive" in done.output


def test_a_layer_that_takes_too_much_processor_time_has_not_come_to_an_end(tmp_path: Path) -> None:
    """It is told from one that has looked everywhere and found nothing."""
    bounds = Bounds(days=1, lives=1, cases=1, processor=1)
    busy = [sys.executable, "-c", "while True: pass"]
    assert run(Layer.DAYS, busy, tmp_path, bounds).found is None
    assert run(Layer.DAYS, [sys.executable, "-c", ""], tmp_path, bounds).found is False
    failing = [sys.executable, "-c", "print('seed 3 FAILED, again with: x\\n  something')"]
    assert run(Layer.DAYS, failing, tmp_path, bounds).how == "seed 3 FAILED, again with: x something"


def test_a_layer_whose_memory_grows_without_an_end_has_noticed(tmp_path: Path) -> None:
    """It dies of its bound, before the machine is out of memory."""
    bounds = Bounds(days=1, lives=1, cases=1, processor=20)
    growing = [sys.executable, "-c", "kept = []\nwhile True: kept.append(bytes(100_000_000))"]
    sight = run(Layer.DAYS, growing, tmp_path, bounds)
    assert sight.found
    assert sight.how == "more than 2 GiB of memory: MemoryError"
