"""The catalog tells people what is wrong with a file, and serves the others."""

import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from remediation_orchestrator.documents.files import Mistake
from remediation_orchestrator.executor import folder
from remediation_orchestrator.executor.catalog import Catalog, load_catalog, load_workflow
from remediation_orchestrator.executor.workflow_file import Workflow

GOOD = """
id: {id}
script:
  command: [sh, -c, "true"]
"""


def write(folder: Path, name: str, text: str) -> None:
    """Put a file into the folder."""
    (folder / name).write_text(text)


def problem_of(folder: Path, text: str) -> str:
    """Load a folder of this one file, and return what is wrong with it."""
    write(folder, "a.yaml", text)
    catalog = load_catalog(folder)
    assert not catalog.workflows
    return "\n".join(str(one) for one in catalog.problems)


def test_every_field_of_the_contract_is_read(tmp_path: Path) -> None:
    """Every field of the page means what it says."""
    write(
        tmp_path,
        "restart.yaml",
        """
id: bounce
version: "2"
description: Every field there is.
engine: script
script:
  command: [./bounce.sh, "{target.name}", "{parameters.wait}"]
timeout: 5m
idempotent: true
parameters:
  wait: {type: integer, default: 7}
match:
  - {name: Stuck, target: {kind: Deployment}}
""",
    )
    spec = load_catalog(tmp_path).workflows["bounce"].spec
    assert spec.timeout == timedelta(minutes=5)
    assert spec.idempotent
    assert spec.match[0].target.kind == "Deployment"


def test_a_broken_file_is_named_with_its_line_and_the_others_work(tmp_path: Path) -> None:
    """One bad file never takes the catalog down."""
    write(tmp_path, "bad.yaml", "id: bad\nscript:\n  command: [sh]\ntimeot: 5m\n")
    write(tmp_path, "good.yaml", GOOD.format(id="good"))
    write(tmp_path, "notes.txt", "not a workflow")
    catalog = load_catalog(tmp_path)
    assert list(catalog.workflows) == ["good"]
    assert [str(one) for one in catalog.problems] == [
        f"{tmp_path / 'bad.yaml'}:4: unknown key timeot; did you mean timeout?"
    ]


def test_of_two_files_with_one_id_none_is_served(tmp_path: Path) -> None:
    """Which of them was meant cannot be known."""
    write(tmp_path, "a.yaml", GOOD.format(id="same"))
    write(tmp_path, "b.yaml", GOOD.format(id="same"))
    catalog = load_catalog(tmp_path)
    assert not catalog.workflows
    assert {one.file.name for one in catalog.problems} == {"a.yaml", "b.yaml"}


def test_the_digest_is_of_the_files_bytes(tmp_path: Path) -> None:
    """Any change of the file changes it."""
    write(tmp_path, "a.yaml", GOOD.format(id="one"))
    first = load_catalog(tmp_path).workflows["one"].digest
    write(tmp_path, "a.yaml", GOOD.format(id="one") + "# changed\n")
    assert load_catalog(tmp_path).workflows["one"].digest != first


def test_another_engine_keeps_its_section(tmp_path: Path) -> None:
    """The file is whole; that nobody here can run it is said when a command asks."""
    write(tmp_path, "a.yaml", "id: one\nengine: job\njob: {image: x}\n")
    assert load_catalog(tmp_path).workflows["one"].spec.engine == "job"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id: a\nid: b\nscript: {command: [sh]}\n", ":2: id: said twice, first on line 1"),
        ("id: [", "not YAML"),
        ("- a\n", ":1: the file: must be a section of keys"),
        ("", ":1: id: field required"),
        ("id: a\nscript: &x {command: [sh]}\nmatch: [*x]\n", ":3: aliases"),
        ("id: a\n", "wants a section `script`"),
        ("id: a\nscript: {command: []}\n", ":2: script.command"),
        ("id: a\nscript: {command: ['{target.name}']}\n", "the program is a fixed name"),
        ("id: a\nscript: {command: [sh, '{paramters.x}']}\n", "unknown placeholder {paramters.x}"),
        ("id: a\ntimeout: 5\nscript: {command: [sh]}\n", ":2: timeout: a duration is written as"),
        ("id: a\ntimeout: 0s\nscript: {command: [sh]}\n", ":2: timeout: must be longer than 0"),
        ("id: a\nversion: 1\nscript: {command: [sh]}\n", ":2: version: must be text, not 1"),
        ("id: a\nscript: {command: [sh]}\nparameters: {g: {type: integer, default: x}}\n", "wants an integer"),
        ("id: a\nscript: {command: [sh]}\nparameters: {g: {type: integer, default: true}}\n", "wants an integer"),
        ("id: a\nscript: {command: [sh]}\nparameters: {a-b: {default: x}, a_b: {default: x}}\n", "two parameters"),
        ("id: a\nscript: {command: [sh]}\nmatch: [{}]\n", "an empty rule would match every signal"),
        ("id: a\nscript: {command: [sh]}\nparameters: {g: {}}\nmatch: [{name: x}]\n", "needs a default"),
        ("id: a\nscript: {command: [sh]}\nenvironment: ['A=B']\n", "environment"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    """The person who wrote it need not guess."""
    assert message in problem_of(tmp_path, text)


BROKEN = {
    "a time that is none": "id: a\nversion: !!timestamp nope\nscript: {command: [sh]}\n",
    "a date that is none": "id: a\nversion: 2026-99-99\ntimeot: 5m\nscript: {command: [sh]}\n",
    "equal keys": "id: a\nscript: {command: [sh]}\nid: b\n",
    "nested without end": "id: a\nmatch: " + "[" * 50_000,
    "nested without end, as mappings": "id: a\nmatch: " + "{a: " * 50_000,
    "a number without end": "id: a\ntimeout: " + "9" * 5_000 + "\nscript: {command: [sh]}\n",
    "an object of Python's": "id: a\nversion: !!python/object:os.system x\n",
    "not text": "id: a\n\udcff",
    "too large": "id: " + "a" * 300_000,
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_that_cannot_be_read_stops_no_other(tmp_path: Path, text: str) -> None:
    """It is named, and an executor and an analyser go on with the others."""
    (tmp_path / "bad.yaml").write_bytes(text.encode(errors="surrogateescape"))
    write(tmp_path, "good.yaml", GOOD.format(id="good"))
    catalog = load_catalog(tmp_path)
    assert list(catalog.workflows) == ["good"]
    assert {one.file.name for one in catalog.problems} == {"bad.yaml"}


async def test_only_what_has_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog is asked for at each command."""
    write(tmp_path, "a.yaml", GOOD.format(id="a"))
    write(tmp_path, "b.yaml", GOOD.format(id="b"))
    read: list[str] = []

    def load(path: Path) -> Workflow | list[Mistake]:
        read.append(path.name)
        return load_workflow(path)

    monkeypatch.setattr(folder, "load_workflow", load)
    catalog = folder.CatalogFolder(tmp_path)
    await catalog.refresh()
    assert list(catalog().workflows) == ["a", "b"]
    write(tmp_path, "b.yaml", GOOD.format(id="bb"))
    await catalog.refresh()
    assert list(catalog().workflows) == ["a", "bb"]
    (tmp_path / "a.yaml").unlink()
    await catalog.refresh()
    assert list(catalog().workflows) == ["bb"]
    assert read == ["a.yaml", "b.yaml", "b.yaml"]


async def test_what_is_wrong_with_a_catalog_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Until it is something else, or again."""
    write(tmp_path, "bad.yaml", "id: bad\n")
    catalog = folder.CatalogFolder(tmp_path)
    for text in (GOOD.format(id="a"), GOOD.format(id="b")):
        write(tmp_path, "a.yaml", text)
        await catalog.refresh()
        await catalog.refresh()
    assert [one.message for one in caplog.records] == ["workflow not served"]


async def test_a_folder_that_cannot_be_read_has_nothing_until_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows what it has; that is said once, and once more when it happens again."""
    home = tmp_path / "catalog"
    home.mkdir()
    write(home, "a.yaml", GOOD.format(id="a"))
    catalog = folder.CatalogFolder(home)
    for _ in range(2):
        await catalog.refresh()
        assert (list(catalog().workflows), catalog().unread) == (["a"], None)
        home.rename(tmp_path / "elsewhere")
        for _ in range(3):
            await catalog.refresh()
            assert (catalog().workflows, catalog().unread is None) == ({}, False)
        (tmp_path / "elsewhere").rename(home)
    assert [one.message for one in caplog.records] == ["catalog unread"] * 2


async def test_a_large_file_is_read_beside_the_event_loop(tmp_path: Path) -> None:
    """Others have their turns while it is read, or claims would lapse by it."""
    text = GOOD.format(id="a") + "".join(f"# {number}\n" for number in range(1_000))
    write(tmp_path, "a.yaml", text)
    begun, go = threading.Event(), threading.Event()

    class Slow(folder.CatalogFolder):
        def _look(self) -> Catalog:
            begun.set()
            go.wait(10)
            return super()._look()

    catalog = Slow(tmp_path)
    reading = asyncio.create_task(catalog.refresh())
    await asyncio.to_thread(begun.wait, 10)
    assert not reading.done()
    go.set()
    await reading
    assert list(catalog().workflows) == ["a"]
