"""`python -m services.replay FILE --out DIR`: a tick file through the platform in one process."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from services.errors import FxError
from services.replay.run import ReplayJob, run
from services.runtime import logs


def main() -> int:
    """Exit code 0 when the file went through, 1 with one sentence when it did not."""
    parser = argparse.ArgumentParser(
        prog="python -m services.replay",
        description="Replay a tick file through all seven services in one process, repeatably.",
    )
    parser.add_argument("file", type=Path, help="tick file, or a folder of Dukascopy's hours")
    parser.add_argument("--out", type=Path, required=True, help="folder for bars, signals, orders, fills, …")
    parser.add_argument(
        "--symbol", default="", help="needed when the file's lines name none, and with --train"
    )
    parser.add_argument("--format", default="", help="format by name; default: recognised")
    parser.add_argument("--bars", type=Path, action="append", default=[], help="bar file to import first")
    parser.add_argument(
        "--train", action="store_true", help="train and deploy a model on the imported H1 bars"
    )
    parser.add_argument("--batch-size", type=int, default=0, help="ticks a batch (default 100)")
    parser.add_argument("--strict", action="store_true", help="stop at the first bad line")
    options = parser.parse_args()
    log = logs.configure("replay", "error", "console")
    with tempfile.TemporaryDirectory(prefix="fxmesh-replay-") as data:
        job = ReplayJob(
            ticks=options.file,
            out=options.out,
            data=Path(data),
            symbol=options.symbol,
            format=options.format,
            batch_size=options.batch_size,
            strict=options.strict,
            bars=options.bars,
            train=options.train,
        )
        try:
            rows = asyncio.run(run(job, log, _show))
        except FxError as failure:
            sys.stderr.write(f"\nreplay failed: {failure}\n")
            return 1
    sys.stderr.write("\n")
    sys.stdout.writelines(f"{name}: {count}\n" for name, count in sorted(rows.items()))
    return 0


def _show(done: int, total: int) -> None:
    if total and sys.stderr.isatty():
        sys.stderr.write(f"\r{100 * done // total:3d} %")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
