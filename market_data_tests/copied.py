"""What people copy (the README's code, lines that the demo prints, snippets on asset pages), run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
# Runs Python as an interactive prompt would show it: the value of a last expression, and how many rows it has.
_SHOW = """
import ast, sys
tree = ast.parse(sys.stdin.read())
last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
space = {}
exec(compile(tree, "copied", "exec"), space)
if last is not None:
    value = eval(compile(ast.Expression(last.value), "copied", "eval"), space)
    if value is not None:
        print(value)
        print("rows:", value.height)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block of a Markdown text, under its heading."""

    heading: str
    language: str
    text: str


def blocks_of(markdown: str) -> list[Block]:
    """Every fenced block; one that is only indented is no block of code here."""
    heading, found = "", []
    pieces = re.split(r"^```(\w*)\n(.*?)^```$", markdown, flags=re.MULTILINE | re.DOTALL)
    for number in range(0, len(pieces) - 1, 3):
        headings = re.findall(r"^## (.*)$", pieces[number], flags=re.MULTILINE)
        heading = headings[-1] if headings else heading
        found.append(Block(heading, pieces[number + 1], pieces[number + 2]))
    return found


def clean_environment() -> dict[str, str]:
    """The environment without any variable of ours."""
    own = ("MARKET_DATA", "TARDIS", "DAGSTER", "STORAGE_EMULATOR")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def run_copied(language: str, text: str, directory: Path) -> str:
    """Run a block in a new shell or Python without any variable of ours, in a directory with a `.venv`; its output."""
    command = ["bash", "-euo", "pipefail", "-s"] if language == "sh" else [sys.executable, "-W", "error", "-c", _SHOW]
    done = subprocess.run(
        command,
        input=text,
        cwd=directory,
        env=clean_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{done.stdout}"
    return done.stdout
