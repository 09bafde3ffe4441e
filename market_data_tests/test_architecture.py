"""Imports go one way, and the domain touches nothing outside itself. Read from the source, so lazy imports count."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "market_data"
_WORK = frozenset({"errors", "domain", "adapters", "publish"})
# What each room of the package may import besides itself; a new room takes its place here.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "__init__": frozenset(),
    "errors": frozenset(),
    "domain": frozenset({"errors"}),
    "adapters": frozenset({"errors", "domain"}),
    "publish": frozenset({"errors", "domain", "adapters"}),
    "listing": frozenset({"errors", "domain", "adapters"}),
    "audit": _WORK,
    "recheck": _WORK,
    "slots": frozenset({"errors", "domain"}),
    "quota": frozenset({"errors", "domain", "adapters"}),
    "acquire": _WORK,
    "ingest": _WORK | {"acquire", "quota", "slots"},
    "settings": frozenset({"errors", "domain"}),
    "read": _WORK | {"settings", "coverage", "find"},
    "coverage": _WORK | {"listing", "audit"},
    "coverage_picture": _WORK | {"coverage"},
    "plan": _WORK | {"audit", "coverage", "listing"},
    "doctor": _WORK,
    "vendor_at_hand": frozenset({"settings", "simulator"}),
    "commands_output": _WORK | {"coverage", "plan", "settings"},
    "commands": _WORK
    | {
        "coverage",
        "coverage_picture",
        "commands_output",
        "doctor",
        "find",
        "plan",
        "settings",
        "defs",
        "vendor_at_hand",
    },
    "find": _WORK | {"coverage"},
    "defs": _WORK
    | {
        "listing",
        "audit",
        "ingest",
        "quota",
        "recheck",
        "read",
        "coverage",
        "coverage_picture",
        "doctor",
        "find",
        "plan",
        "settings",
    },
    "definitions": frozenset({"defs", "settings"}),
    "simulator": frozenset({"errors", "domain"}),
    "demo": _WORK | {"commands_output", "defs", "read", "settings", "simulator", "vendor_at_hand"},
    "cli": frozenset({"errors", "commands", "commands_output", "settings", "simulator", "demo", "vendor_at_hand"}),
    "__main__": frozenset({"cli"}),
}
SETTINGS_READERS = {"definitions", "defs", "cli", "commands", "commands_output", "demo", "read", "vendor_at_hand"}
# What the domain may use: values, text, dates. Whatever reads a clock, a file or a socket is not among them.
_STANDARD = """
    __future__ bisect collections collections.abc dataclasses datetime decimal enum fnmatch functools itertools math
    operator re string typing urllib.parse
"""
DOMAIN_MAY_USE = {*_STANDARD.split(), "polars", "pydantic"}
CLOCKS_AND_FILES = {"now", "today", "utcnow", "open", "read_text", "write_text", "getenv"}
POLARS_READERS = {"read_csv", "read_parquet", "scan_csv", "scan_parquet", "write_parquet", "sink_parquet"}
# Which rooms may import a package that is slow to load or opens connections.
HOMES = {
    "dagster": {"defs", "definitions", "demo"},
    "dagster_gcp": {"adapters"},
    "httpx": {"adapters", "demo"},
    "stamina": {"adapters"},
    "gcsfs": {"adapters"},
    "google": {"adapters"},
    "yaml": {"settings", "simulator", "demo"},
    "click": {"cli", "commands", "simulator"},
}


@dataclass(frozen=True)
class Module:
    """One source file: its room, its dotted name, its syntax tree."""

    path: Path

    @property
    def name(self) -> str:
        return ".".join(("market_data", *self.path.relative_to(PACKAGE).with_suffix("").parts))

    @property
    def room(self) -> str:
        return self.path.relative_to(PACKAGE).parts[0].removesuffix(".py")

    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    def imports(self) -> Iterator[str]:
        """Yield the dotted name of every import, wherever in the file it stands."""
        for node in ast.walk(self.tree()):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} imports relatively"
                yield str(node.module)
                if node.module == "market_data":
                    yield from (f"market_data.{alias.name}" for alias in node.names)


MODULES = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]
DOMAIN = [module for module in MODULES if module.room == "domain"]


def test_files_were_found() -> None:
    rooms = {module.room for module in MODULES}
    assert {"domain", "adapters", "defs", "simulator", "ingest", "read", "settings", "definitions"} <= rooms
    assert len(MODULES) > 40
    assert len(DOMAIN) > 10
    assert sum(1 for module in MODULES for _ in module.imports()) > 300
    assert rooms <= MAY_IMPORT.keys(), "give the new room its place in MAY_IMPORT"


def test_the_table_itself_has_no_circle() -> None:
    ranks: dict[str, int] = {}
    while len(ranks) < len(MAY_IMPORT):
        free = [room for room, below in MAY_IMPORT.items() if room not in ranks and below <= ranks.keys()]
        assert free, f"a circle among {sorted(MAY_IMPORT.keys() - ranks.keys())}"
        ranks |= dict.fromkeys(free, len(ranks))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_imports_only_rooms_below_its_own(module: Module) -> None:
    own = [name for name in module.imports() if name.partition(".")[0] == "market_data"]
    rooms = {name.split(".")[1] for name in own if "." in name}
    assert rooms - {module.room} <= MAY_IMPORT[module.room], f"{module.name} reaches up"


def test_settings_are_seen_only_where_things_are_put_together() -> None:
    readers = {module.room for module in MODULES if "market_data.settings" in set(module.imports())}
    assert readers <= SETTINGS_READERS
    assert {"definitions", "defs", "read"} <= readers


@pytest.mark.parametrize("module", DOMAIN, ids=lambda module: module.name)
def test_the_domain_has_no_io_no_clock_and_no_environment(module: Module) -> None:
    foreign = {name for name in module.imports() if not name.startswith("market_data.")}
    assert foreign <= DOMAIN_MAY_USE
    for call in (node for node in ast.walk(module.tree()) if isinstance(node, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        assert name not in CLOCKS_AND_FILES | POLARS_READERS, f"{module.name}, line {call.lineno}"


@pytest.mark.parametrize("package", HOMES)
def test_a_package_that_reaches_outside_is_imported_only_in_its_home(package: str) -> None:
    users = {module.room for module in MODULES if package in {name.partition(".")[0] for name in module.imports()}}
    assert users
    assert users <= HOMES[package]


def test_only_layouts_spell_object_keys() -> None:
    spelling = {
        module.name
        for module in MODULES
        for node in ast.walk(module.tree())
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.endswith(("venue=", "date="))
    }
    cutters = {
        "market_data.read",
        "market_data.plan",
        "market_data.defs.launches",
    }  # they cut the day out of a receipt's key
    assert spelling - {"market_data.domain.layouts"} <= cutters
