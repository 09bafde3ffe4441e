"""Make the wheel of a former version that tests run beside this one; the suite runs only what is kept of it.

    python -m market_data_tests.golden.make_wheel COMMIT VERSION

It holds the modules that fill a lake and read it, as they are in that commit, and nothing else of the package. Equal
commits give equal bytes.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = Path(__file__).parent / "versions"
# What tests ask a former version to do; everything else that these import comes along.
_USED = ("market_data.ingest.venue_day", "market_data.read", "market_data.universe.learn", "market_data.universe.table")
_EPOCH = (2026, 11, 27, 0, 0, 0)


def main(commit: str, version: str) -> Path:
    modules = _needed(_sources(commit))
    info = f"market_data-{version}.dist-info"
    files = {
        **modules,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: market-data\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: make_wheel\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = VERSIONS / f"market_data-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED, 9)
    return wheel


def _sources(commit: str) -> dict[str, bytes]:
    """The files of the package in a commit, by path."""
    command = ["git", "-C", str(ROOT), "archive", "--format=zip", commit, "market_data"]
    packed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def _needed(sources: dict[str, bytes]) -> dict[str, bytes]:
    """What is used of the package, by path: modules and the packages around them."""
    found: dict[str, bytes] = {}
    names = list(_USED)
    while names:
        name = names.pop()
        names += [name.rpartition(".")[0]] if "." in name else []
        path = name.replace(".", "/")
        for file in (f"{path}.py", f"{path}/__init__.py"):
            if file in sources and file not in found:
                found[file] = sources[file]
                names += _imports(sources[file])
    return dict(sorted(found.items()))


def _imports(source: bytes) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


if __name__ == "__main__":
    print(main(*sys.argv[1:]))  # noqa: T201  where it is
