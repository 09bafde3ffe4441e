"""Imports go one way, what is listed as pure touches nothing outside itself, and a fact has one home.

Read from the source, so lazy imports count.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "market_data"
# The rooms that each room imports; a new arrow is drawn here when it is drawn in the code, and goes when that goes.
ARROWS: dict[str, str] = {
    "model": "errors",
    "symbology": "model",
    "accept": "errors ingest lake model receipts symbology universe vendor",
    "vendor": "errors lake model symbology",
    "universe": "errors lake model symbology vendor",
    "ticks": "errors lake model symbology",
    "lake": "errors model",
    "receipts": "errors lake model ticks",
    "index": "errors lake model receipts ticks universe",
    "ingest": "errors index lake model receipts ticks universe vendor",
    "quality": "checks errors index ingest lake model receipts ticks universe vendor",
    "checks": "index lake model receipts ticks",
    "read": "errors index lake model quality receipts settings universe",
    "operate": "errors index lake model receipts universe vendor",
    "settings": "errors lake model quality ticks universe",
    "defs": "checks errors index ingest lake model operate quality receipts settings ticks universe vendor",
    "definitions": "defs settings",
    "simulator": "errors model",
    "demo": "defs errors lake model read receipts settings simulator",
    "cli": """
        accept defs demo errors index ingest lake model operate quality read receipts settings simulator ticks universe
        vendor
    """,
    "__main__": "cli",
}
# Modules that are functions of their arguments: no I/O, no Dagster, no clock, no environment.
PURE = """
    errors model symbology
    accept.about_files accept.about_metadata accept.assumption accept.evidence
    checks.rules index.unit ingest.assess lake.base lake.keys
    operate.alert_memory operate.alerts operate.automation operate.costs operate.estimates
    quality.agreement_rules quality.causes quality.gap_rules quality.gaps quality.hours quality.ids
    quality.second_source
    read.arguments read.completeness receipts.consistency receipts.evidence receipts.receipt settings.faults ticks.rules
    universe.listing universe.rules universe.waivers vendor.answer vendor.instrument_definitions vendor.metadata
"""
# What they may use: values, text, dates. Whatever reads a clock, a file or a socket is not among them.
_STANDARD = """
    __future__ abc bisect collections collections.abc dataclasses datetime decimal enum fnmatch functools itertools math
    operator re statistics string typing urllib.parse
"""
PURE_MAY_USE = {*_STANDARD.split(), "polars", "pydantic", "pydantic_core", "pathlib"}
# Names that reach a clock, a file or the environment, called or handed on.
_CLOCKS = "now today utcnow time_ns monotonic"
_FILES = """
    open read_text write_text read_bytes write_bytes unlink iterdir exists is_file is_dir mkdir rmdir touch rename cwd
    home resolve getenv environ glob rglob lstat chmod absolute listdir methodcaller print
"""
_POLARS = """
    read_csv read_parquet read_json read_ndjson read_ipc scan_csv scan_parquet scan_ndjson scan_ipc write_parquet
    write_csv write_json write_ndjson write_ipc sink_parquet sink_csv
"""
OUTSIDE = {*_CLOCKS.split(), *_FILES.split(), *_POLARS.split()}
# Imports that no reader of the source sees.
HIDDEN_IMPORTS = {"import_module", "__import__", "exec", "eval", "resolve_name", "run_module", "run_path"}
# Which rooms may import a package that is slow to load or opens connections.
HOMES = {
    "dagster": {"defs", "definitions", "demo"},
    "dagster_celery": {"defs"},
    "dagster_gcp": {"defs"},
    "httpx": {"vendor", "demo", "operate"},
    "aiohttp": {"simulator", "vendor"},
    "socket": {"simulator", "demo", "ingest"},
    "subprocess": {"demo", "ingest"},
    "stamina": {"vendor", "operate"},
    "gcsfs": {"checks"},
    "google": {"lake", "defs"},
    "yaml": {"settings", "simulator", "demo"},
    "click": {"cli", "simulator"},
    "numba": {"quality"},
}


@dataclass(frozen=True)
class Module:
    """One source file: its room, its dotted name, its syntax tree."""

    path: Path

    @property
    def name(self) -> str:
        return ".".join(("market_data", *self.path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        )

    @property
    def room(self) -> str:
        return self.path.relative_to(PACKAGE).parts[0].removesuffix(".py")

    @property
    def is_pure(self) -> bool:
        inner = self.name.removeprefix("market_data.")
        return inner in PURE.split() or inner.partition(".")[0] in PURE.split()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    def imports(self) -> tuple[str, ...]:
        """The dotted name of every import, wherever in the file it stands: modules, not what is in them."""
        return self._imports

    @cached_property
    def _imports(self) -> tuple[str, ...]:
        return tuple(self._read_imports())

    def _read_imports(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} imports relatively"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in NAMES else str(node.module)


PATHS = sorted(PACKAGE.rglob("*.py"))
NAMES = {Module(path).name for path in PATHS}
MODULES = [Module(path) for path in PATHS]


def own_imports(module: Module) -> set[str]:
    return {name for name in module.imports() if name.partition(".")[0] == "market_data"} - {module.name}


def arrows() -> dict[str, set[str]]:
    """The rooms that each room imports, as the source has it."""
    found: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        rooms = {name.split(".")[1] for name in own_imports(module) if "." in name}
        found[module.room] |= rooms - {module.room}
    return found


def test_files_were_found() -> None:
    rooms = {module.room for module in MODULES}
    assert {"model", "lake", "defs", "simulator", "ingest", "read", "settings", "definitions"} <= rooms
    assert len(MODULES) > 100
    assert sum(module.is_pure for module in MODULES) > 35
    assert sum(1 for module in MODULES for _ in module.imports()) > 300


@pytest.mark.parametrize("room", sorted({module.room for module in MODULES}))
def test_a_room_imports_just_the_rooms_that_it_is_said_to(room: str) -> None:
    assert arrows()[room] == set(ARROWS.get(room, "").split()), "draw the arrow in ARROWS, or take it away"


def test_no_arrow_of_the_table_belongs_to_a_room_that_is_gone() -> None:
    assert ARROWS.keys() <= {module.room for module in MODULES}


def test_rooms_form_no_circle() -> None:
    order = list(TopologicalSorter(arrows()).static_order())
    # as the data flow, and what puts things together at the end
    story = ["errors", "model", "lake", "receipts", "index", "ingest", "defs", "definitions"]
    assert sorted(story, key=order.index) == story


def test_modules_form_no_circle_not_even_inside_a_room() -> None:
    try:
        TopologicalSorter({module.name: own_imports(module) & NAMES for module in MODULES}).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_the_simulator_is_for_those_who_ask_for_it() -> None:
    users = {module.room for module in MODULES if any("market_data.simulator" in name for name in own_imports(module))}
    assert users == {"simulator", "demo", "cli"}


@pytest.mark.parametrize("module", [module for module in MODULES if module.is_pure], ids=lambda module: module.name)
def test_a_pure_module_has_no_io_no_clock_and_no_environment(module: Module) -> None:
    foreign = {name for name in module.imports() if name.partition(".")[0] != "market_data"}
    assert foreign <= PURE_MAY_USE
    assert {item.name for item in MODULES if item.name in own_imports(module) and not item.is_pure} == set()
    assert [f"{name}, line {line}" for name, line in names_used(module.tree) if name in OUTSIDE] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_no_import_is_hidden(module: Module) -> None:
    assert [f"{name}, line {line}" for name, line in names_used(module.tree) if name in HIDDEN_IMPORTS] == []
    # `import market_data.x` binds the package: what is reached through it is seen by nobody
    whole = [alias.name for node in ast.walk(module.tree) if isinstance(node, ast.Import) for alias in node.names]
    assert [name for name in whole if name.partition(".")[0] == "market_data"] == []


def names_used(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every attribute, and every name that the source does not give itself, with its line."""
    own = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    own |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.Name) and node.id not in own:
            yield node.id, node.lineno


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("f = datetime.now; f()", "now"),
        ("Path(name).read_bytes()", "read_bytes"),
        ("pl.scan_parquet(path)", "scan_parquet"),
        ("importlib.import_module('dagster')", "import_module"),
        ("os.environ['X']", "environ"),
    ],
)
def test_the_guards_see_what_is_called_by_another_name(source: str, used: str) -> None:
    assert used in {name for name, _ in names_used(ast.parse(source))} & (OUTSIDE | HIDDEN_IMPORTS)


@pytest.mark.parametrize("package", HOMES)
def test_a_package_that_reaches_outside_is_imported_only_in_its_home(package: str) -> None:
    users = {module.room for module in MODULES if package in {name.partition(".")[0] for name in module.imports()}}
    assert users
    assert users <= HOMES[package]


# Folders of object keys.
FOLDERS = (
    *("raw/", "ticks/", "receipt/", "universe/", "universe_of_all_venues/", "vendor/", "failed/", "staging/", "quota/"),
    *("probe/", "index/", "lease/"),
)
PARTITIONS = ("venue=", "date=", "data_type=", "instrument_type=", "asked=", "fetched_on=", "month=")


def _is_key_part(text: str) -> bool:
    """Whether a string is (a part of) an object key: it names a partition, or begins with a folder."""
    names_partition = any(part in text for part in PARTITIONS)
    return names_partition or text == "origin.json" or (text.startswith(FOLDERS) and " " not in text)


def test_one_module_spells_object_keys() -> None:
    spelling = {
        module.name
        for module in MODULES
        if module.room != "simulator"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_key_part(node.value)
    }
    assert spelling == {"market_data.lake.keys"}


@pytest.mark.parametrize("text", ["receipt/x/%s", "raw/", "a/venue=", "ticks/by_date/%s"])
def test_a_part_of_a_key_is_seen(text: str) -> None:
    assert _is_key_part(text)


# Where each file and function still fits a screen or two; a docstring is not counted.
LONGEST_FILE, LONGEST_FUNCTION = 400, 50


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_files_and_functions_stay_small(module: Module) -> None:
    assert len(module.path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {node.name: size for node in functions if (size := code_lines(node)) > LONGEST_FUNCTION} == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    first = function.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    text_lines = (first.end_lineno or 0) - first.lineno + 1 if is_text else 0
    return (function.end_lineno or 0) - function.lineno + 1 - text_lines
