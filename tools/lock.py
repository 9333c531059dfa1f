"""Resolve the dependencies of pyproject.toml anew into requirements/*.txt, every file pinned by hash.

Run by `make lock`. One resolution for every Python from 3.11 on and for every platform. The files name no
index, so they work with whatever index pip and uv are configured for.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
OPTIONS = (
    "--quiet",
    "--universal",
    "--python-version",
    "3.11",
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
)
# What builds the editable install; the build runs in the environment itself, without downloads of its own.
BUILD = "hatchling\neditables\n"
# The installer, which pip installs first.
INSTALLER = "uv\n"


def compile_into(name: str, source: str | Path, *options: str) -> None:
    """Write requirements/<name>; versions already in the file are kept unless `make lock UPGRADE=1`."""
    upgrade = ("--upgrade",) if os.environ.get("UPGRADE") else ()
    out = str(REQUIREMENTS / name)
    subprocess.run(
        [
            str(Path(sys.executable).with_name("uv")),
            "pip",
            "compile",
            str(source),
            *options,
            *OPTIONS,
            *upgrade,
            "-o",
            out,
        ],
        cwd=ROOT,
        check=True,
    )


def main() -> None:
    same = ("-c", str(REQUIREMENTS / "dev.txt"))
    compile_into("dev.txt", "pyproject.toml", "--extra", "dev", "--extra", "edge")
    compile_into("run.txt", "pyproject.toml", *same)
    compile_into("bench.txt", "pyproject.toml", "--extra", "bench", *same)
    with tempfile.TemporaryDirectory() as folder:
        for name, wanted in (("uv.txt", INSTALLER), ("build.txt", BUILD)):
            source = Path(folder, name)
            source.write_text(wanted)
            compile_into(name, source, *same)


if __name__ == "__main__":
    main()
