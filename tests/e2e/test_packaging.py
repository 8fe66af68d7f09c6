"""The wheel: everything of the tree's packages, nothing else, and at peace with a user's own `events`."""

import os
import shutil
import subprocess
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "remediation_orchestrator"
FOLDERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")

USER_PROJECT = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools>=80"]
build-backend = "setuptools.build_meta"
[project]
name = "a-users-project"
version = "1"
[tool.setuptools]
packages = ["events"]
""",
    "events/__init__.py": 'WHOSE = "the user\'s"\n',
    "tests/test_both.py": """
import events
from remediation_orchestrator.events import Target, fingerprint_of


def test_both_are_there():
    assert events.WHOSE == "the user's"
    assert not hasattr(events, "Target")
    assert len(fingerprint_of(Target(name="checkout"), "Down")) == 64
""",
    "tests/test_routing_of_mine.py": (ROOT / "examples" / "test_routing_of_mine.py").read_text(),
}


def uv(*arguments: str | Path, cwd: Path) -> str:
    """Run uv, from the path or from where the Makefile put it; its own output is the message when it fails."""
    program = shutil.which("uv", path=f"{os.environ['PATH']}{os.pathsep}{ROOT / '.uv' / 'bin'}")
    assert program is not None, "uv is missing: `make test` puts it in place"
    return run(program, *arguments, cwd=cwd)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program to its end, without this run's environment variables for Python."""
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the tree, so that nothing an earlier build left can get in."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "tree", symlinks=True, ignore=NOT_SOURCE)
    uv("build", "--quiet", "--wheel", "--out-dir", folder / "dist", cwd=folder / "tree")
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_the_tree_s_packages_and_nothing_else(wheel: Path) -> None:
    """Every module of every folder under the import package; no tests, no second copy by the links."""
    modules = {
        f"{name.replace('.', '/')}/{path.name}"
        for name, folder in FOLDERS.items()
        for path in (ROOT / folder).glob("*.py")
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = {name.rpartition(".dist-info/")[2] for name in archive.namelist()} - held
    assert held == modules | {f"{PACKAGE}/py.typed"}
    assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}


def test_every_module_of_the_tree_is_under_a_packaged_folder() -> None:
    """The file list above cannot see a folder that has no line."""
    packaged = {ROOT / folder for folder in FOLDERS.values()}
    tops = {ROOT / folder.partition("/")[0] for folder in FOLDERS.values()} - {ROOT / PACKAGE}
    assert {path.parent for top in tops for path in top.rglob("*.py")} <= packaged


def test_a_project_with_its_own_events_lives_beside_ours(wheel: Path, tmp_path: Path) -> None:
    """Installed into one environment, both are imported, and the user's tests pass with our plugin active."""
    for name, text in USER_PROJECT.items():
        (tmp_path / "user" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "user" / name).write_text(text)
    python = tmp_path / "venv" / "bin" / "python"
    export = ("export", "--quiet", "--locked", "--no-emit-project", "--no-hashes")
    uv(*export, "--output-file", tmp_path / "locked.txt", cwd=ROOT)
    uv("venv", "--quiet", tmp_path / "venv", cwd=tmp_path)
    install = ("pip", "install", "--quiet", "--python", python, "--constraint", tmp_path / "locked.txt")
    uv(*install, f"{wheel}[testing]", tmp_path / "user", cwd=tmp_path)
    assert "5 passed" in run(python, "-W", "error", "-m", "pytest", "-W", "error", "tests", cwd=tmp_path / "user")
    assert (tmp_path / "venv" / "bin" / "ro").exists()
