"""The house stays tidy: what no linter holds."""

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "remediation_orchestrator"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = sorted(
    path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in (PACKAGE, "tests")
)
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SOURCES = sorted([*MODULES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
MAIN = ROOT / "cli" / "main.py"


def short(path: Path) -> str:
    """Name a file as a reader of the tree does."""
    return path.relative_to(ROOT).as_posix()


def dotted(path: Path) -> str:
    """Name a file as an import does."""
    return ".".join([PACKAGE, *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Name all that a file imports, relative names resolved; a module's own dotted name in a string counts too."""
    package = dotted(path).split(".") if path.name == "__init__.py" else dotted(path).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*around, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{one.name}" for one in node.names)
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}.")
        ):
            yield node.value.partition(":")[0]  # A verb that is imported when it is called.


def test_no_function_is_longer_than_a_page() -> None:
    """Forty lines."""
    long = [
        f"{short(path)}:{node.lineno} {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 40
    ]
    assert long == []


def test_no_file_is_longer_than_a_sitting() -> None:
    """Four hundred lines."""
    assert [short(path) for path in SOURCES if len(path.read_text().splitlines()) > 400] == []


def test_no_module_is_a_drawer_for_everything() -> None:
    """A name says what is inside."""
    drawers = {"utils", "common", "helpers", "misc", "base"}
    assert [short(path) for path in MODULES if drawers & set(path.relative_to(ROOT).with_suffix("").parts)] == []


@pytest.mark.skipif(not MAIN.exists(), reason="without the command line nothing is wired yet")
def test_every_module_has_an_importer() -> None:
    """Nothing is kept that nobody uses; entry points are used from outside."""
    project = PYPROJECT["project"]
    groups = [project["scripts"], *project.get("entry-points", {}).values()]
    entries = {entry.partition(":")[0] for group in groups for entry in group.values()}
    imported = {name for path in MODULES for name in imports(path) if name != dotted(path)}
    modules = {dotted(path) for path in MODULES if path.name not in ("__init__.py", "__main__.py")}
    assert sorted(modules - imported - entries) == []


def test_every_package_says_what_it_is() -> None:
    """A docstring, on the package itself too."""
    packages = [path for path in [*MODULES, ROOT / PACKAGE / "__init__.py"] if path.name == "__init__.py"]
    assert [short(path) for path in packages if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_every_folder_with_a_module_is_a_package() -> None:
    """Else it would be missing from the wheel."""
    assert [short(path.parent) for path in MODULES if not (path.parent / "__init__.py").exists()] == []


def test_depth_never_exceeds_two() -> None:
    """`orchestrator/routing/checks.py` is as deep as it gets."""
    assert [short(path) for path in MODULES if len(path.relative_to(ROOT).parts) > 3] == []


def test_every_folder_has_its_line_and_its_link() -> None:
    """The line is for the build, the link for the type checker and the import contracts."""
    packages = {dotted(path): path.parent for path in MODULES if path.name == "__init__.py"}
    lines = {name: ROOT / folder for name, folder in PYPROJECT["tool"]["setuptools"]["package-dir"].items()}
    assert lines == {**packages, PACKAGE: ROOT / PACKAGE}
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == sorted(lines)
    links = {path.name: path.readlink().as_posix() for path in (ROOT / PACKAGE).iterdir() if path.is_symlink()}
    assert links == {folder: f"../{folder}" for folder in FOLDERS}


def test_nothing_is_imported_by_its_bare_name() -> None:
    """A bare `events` may be a user's own package."""
    banned = PYPROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(FOLDERS) <= set(banned)
    bare = [
        f"{short(path)}: {name}" for path in SOURCES for name in imports(path) if name.partition(".")[0] in banned
    ]
    assert bare == []


def test_the_command_line_shows_verbs_alone() -> None:
    """Beside `main`. What they share stands in `support/`, and none imports another, but a group its own."""
    verbs = [path for path in (ROOT / "cli").glob("*.py") if path.name not in ("__init__.py", "main.py")]
    assert [short(path) for path in verbs if "verb" not in _defined(path)] == []
    names = {dotted(path) for path in verbs}
    asking = [path for path in (ROOT / "cli").rglob("*.py") if path != MAIN]
    found = {(short(path), name) for path in asking for name in imports(path) if name in names}
    assert found == {("cli/policy.py", f"{PACKAGE}.cli.shadow")}  # `ro policy shadow`.


def _defined(path: Path) -> set[str]:
    body = ast.parse(path.read_text()).body
    functions = {one.name for one in body if isinstance(one, ast.FunctionDef)}
    assigned = (one.targets for one in body if isinstance(one, ast.Assign))
    return functions | {one.id for targets in assigned for one in targets if isinstance(one, ast.Name)}


def test_every_public_class_has_a_name_of_its_own() -> None:
    """Whoever reads a name knows which is meant, without a look at the imports."""
    named = [(node.name, short(path)) for path in MODULES for node in _classes(path)]
    times = Counter(name for name, _ in named)
    assert [f"{path}: {name}" for name, path in sorted(named) if times[name] > 1] == []


def _classes(path: Path) -> Iterator[ast.ClassDef]:
    body = ast.parse(path.read_text()).body
    return (node for node in body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))


def test_the_published_language_needs_msgspec_alone() -> None:
    """And the standard library, so whoever publishes a signal can import it without NATS."""
    allowed = {"msgspec", PACKAGE, *sys.stdlib_module_names}
    foreign = {
        f"{short(path)}: {name}"
        for path in (ROOT / "events").rglob("*.py")
        for name in imports(path)
        if name.partition(".")[0] not in allowed
    }
    assert sorted(foreign) == []


def test_the_folder_around_the_core_brings_nothing_along() -> None:
    """Importing `orchestrator.routing` runs `orchestrator/__init__.py` too, which the contract does not follow."""
    assert list(imports(ROOT / "orchestrator" / "__init__.py")) == []


def test_every_ignore_of_the_linter_has_a_reason() -> None:
    """Beside it: `# noqa: S101 - why`, and a comment on each line of the configuration's lists."""
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    starts = [
        n
        for n, line in enumerate(lines)
        if re.match(r"(ignore|extend-ignore|\[tool.ruff.*per-file-ignores)", line)
    ]
    unreasoned = [
        f"pyproject.toml:{number + 1}"
        for start in starts
        for number, line in _entries(lines, start)
        if "#" not in line
    ]
    for path in SOURCES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.search(r"#\s*(?:ruff:\s*)?noqa(.*)", line) if path != Path(__file__) else None
            if found and not re.match(r":\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*\s+\W*\w+", found[1]):
                unreasoned.append(f"{short(path)}:{number}")
    assert unreasoned == []


def _entries(lines: list[str], start: int) -> Iterator[tuple[int, str]]:
    for number in range(start, len(lines)):
        if '"' in lines[number]:
            yield number, lines[number]
        elif number > start:
            return
