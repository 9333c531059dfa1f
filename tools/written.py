"""The command of a tool that writes files from the contracts: `write` brings them up to date, `check` fails
when one is not what the contracts say.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parent.parent


Content: TypeAlias = Mapping[Path, str] | Mapping[Path, str | bytes]


def stale(current: Content) -> list[Path]:
    """The files that do not hold what they should."""
    return [path for path, held in current.items() if not path.is_file() or path.read_bytes() != _bytes(held)]


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def main(tool: str, current: Content) -> int:
    """Writes or compares, as the command line says; 1 when something differs."""
    parser = argparse.ArgumentParser(prog=tool, description=__doc__)
    parser.add_argument("action", choices=("write", "check"))
    write = parser.parse_args().action == "write"
    found = stale(current)
    for path in found:
        print(f"{'wrote' if write else 'stale'}: {path.relative_to(ROOT)}")
        if write:
            path.write_bytes(_bytes(current[path]))
    if found and not write:
        print(f"run: .venv/bin/python {tool} write")
    return 1 if found and not write else 0
