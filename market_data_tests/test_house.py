"""The tour of the house speaks of what is there, and a plain install brings what the reader imports."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "market_data"
TOUR = (PACKAGE / "README.md").read_text(encoding="utf-8")


def test_the_tour_names_every_room_and_no_other() -> None:
    table = TOUR.partition("| room |")[2].partition("##")[0]
    named = {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if row else "")}
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert named == rooms


def test_the_files_that_the_tour_names_are_there() -> None:
    named = set(re.findall(r"`([a-z_/]+/[A-Za-z_]+\.(?:py|md|yaml))`", TOUR))
    assert len(named) > 20
    missing = {name for name in named if not (PACKAGE / name).exists() and not (PROJECT / name).exists()}
    assert missing == set()


def _with_what_they_need(names: list[str]) -> set[str]:
    """The distributions that come with some, as they are installed here; what only an extra needs is left out."""
    found: set[str] = set()
    while names:
        name = canonicalize_name(names.pop())
        if name in found:
            continue
        found.add(name)
        try:
            needed = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:  # for another system or Python
            continue
        names += [item.name for item in needed if not item.marker or item.marker.evaluate({"extra": ""})]
    return found


def test_a_plain_install_brings_what_the_reader_imports() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = _with_what_they_need([Requirement(text).name for text in project["dependencies"]])
    script = (
        "import sys, market_data.read, market_data.lake.gcs\n"
        "print(*filter(None, (getattr(module, '__file__', None) for module in list(sys.modules.values()))), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {Path(line) for line in done.stdout.splitlines()}
    used = {
        canonicalize_name(distribution.name)
        for distribution in distributions()
        if any(Path(str(distribution.locate_file(file))) in loaded for file in distribution.files or ())
    }
    assert {"polars", "pydantic", "google-cloud-storage"} <= used
    # Google's client takes what it finds of these, and does without them; what measures coverage starts everywhere
    optional = {"grpcio", "grpcio-status", "grpcio-health-checking", "setuptools", "coverage"}
    assert used - brought - optional <= {"market-data"}
