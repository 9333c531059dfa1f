"""Everything that is done to the contracts: fetch what they import, lint, generate, check, compare.

    python tools/contracts.py third-party   fill third_party/ with the protos that ours import
    python tools/contracts.py lint          buf lint and formatting
    python tools/contracts.py format        rewrite protos/ the way buf formats them
    python tools/contracts.py generate      protos/ -> gen/; touches only files whose content changes
    python tools/contracts.py check         fail when gen/ is not what protos/ generates
    python tools/contracts.py breaking      fail when protos/ or the recorded events break what is frozen/
    python tools/contracts.py freeze        promise what protos/ and the recorded events are now: frozen/
    python tools/contracts.py image OUT     the descriptors of all contracts and their imports, as one file

buf comes from npm, pinned by hash in tools/buf/package-lock.json, into the git-ignored .tools/.
"""

import argparse
import fcntl
import filecmp
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
THIRD_PARTY = ROOT / "third_party"
FROZEN_IMAGE = ROOT / "frozen" / "contracts.binpb.gz"
FROZEN_EVENTS = ROOT / "frozen" / "recorded_events.sha256"
RECORDED = "tests/recorded_events"
# status and error_details are used by the edge, which describes errors in JSON.
GOOGLE_PROTOS = ("api/annotations", "api/http", "rpc/status", "rpc/error_details")


class ContractsError(Exception):
    """Something a person must fix; the message says what."""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command with this environment's python and plugins first on PATH; its output goes to ours."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**os.environ, "PATH": path}, check=False
    )
    if done.returncode != 0:
        raise ContractsError(f"failed ({done.returncode}): {' '.join(map(str, command))}")


@contextmanager
def exclusive() -> Iterator[None]:
    """One run at a time: two that fill the same folders would mix their files."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "contracts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def buf() -> Path:
    """Path of the pinned buf, installed on first use and whenever the pin changes."""
    pin = ROOT / "tools" / "buf"
    home = TOOLS / "buf"
    binary = home / "node_modules" / ".bin" / "buf"
    marker = home / "installed.json"
    if binary.exists() and marker.exists() and filecmp.cmp(pin / "package-lock.json", marker, shallow=False):
        return binary
    if shutil.which("npm") is None:
        raise ContractsError(
            "buf is installed by npm, which is not on PATH: install Node.js with npm, then run this again"
        )
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(pin, home)
    # Not `npm ci`: it wants every platform's binary in the lock file, and a registry need not carry them all.
    run(
        "npm",
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--silent",
        "--no-update-notifier",
        cwd=home,
    )
    shutil.copyfile(pin / "package-lock.json", marker)
    return binary


def third_party() -> None:
    """Fill third_party/: google from the installed package, buf.validate from a hash-checked distribution."""
    import google.api.annotations_pb2 as installed

    google = Path(installed.__file__).parents[1]
    for name in GOOGLE_PROTOS:
        target = THIRD_PARTY / "google" / f"{name}.proto"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or not filecmp.cmp(google / f"{name}.proto", target, shallow=False):
            shutil.copyfile(google / f"{name}.proto", target)

    pin = ROOT / "requirements" / "protos.txt"
    marker = THIRD_PARTY / pin.name
    if marker.exists() and filecmp.cmp(pin, marker, shallow=False):
        return
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
            "--no-binary", "protovalidate", "--require-hashes", "-r", pin, "-d", folder)  # fmt: skip
        archive = next(Path(folder).glob("*.tar.gz"))
        with tarfile.open(archive) as tar:
            member = next(
                m for m in tar.getmembers() if m.name.endswith("/proto/buf/validate/validate.proto")
            )
            source = tar.extractfile(member)
            if source is None:
                raise ContractsError(f"{member.name} in {archive.name} is not a file")
            target = THIRD_PARTY / "buf" / "validate" / "validate.proto"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read())
    shutil.copyfile(pin, marker)


def generate_into(folder: Path) -> Path:
    """Generate everything below `folder`; returns the folder that corresponds to gen/."""
    third_party()
    run(buf(), "generate", "--output", folder)
    # mypy-protobuf writes a stub for every file, also where there is no service and so no module.
    for stub in folder.rglob("*_pb2_grpc.pyi"):
        if not stub.with_suffix(".py").exists():
            stub.unlink()
    return folder / "gen"


def difference(fresh: Path, kept: Path) -> tuple[list[Path], list[Path]]:
    """(files of `fresh` that `kept` lacks or has otherwise, files only `kept` has), relative, sorted."""

    def files(top: Path) -> set[Path]:
        return {p.relative_to(top) for p in top.rglob("*") if p.is_file() and "__pycache__" not in p.parts}

    new, old = files(fresh), files(kept)
    changed = [p for p in new if p not in old or not filecmp.cmp(fresh / p, kept / p, shallow=False)]
    return sorted(changed), sorted(old - new)


def generate() -> None:
    with exclusive(), tempfile.TemporaryDirectory() as folder:
        fresh, kept = generate_into(Path(folder)), ROOT / "gen"
        changed, stale = difference(fresh, kept)
        for path in changed:
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fresh / path, kept / path)
        for path in stale:
            (kept / path).unlink()
        print(f"gen/: {len(changed)} written, {len(stale)} removed")


def check() -> None:
    with exclusive(), tempfile.TemporaryDirectory() as folder:
        changed, stale = difference(generate_into(Path(folder)), ROOT / "gen")
    if changed or stale:
        names = ", ".join(str(path) for path in (changed + stale)[:10])
        raise ContractsError(f"gen/ is not what protos/ generates ({names}): run `make gen` and commit gen/")
    print("gen/ is what protos/ generates")


def lint() -> None:
    with exclusive():
        third_party()
        run(buf(), "lint")
        run(buf(), "format", "--diff", "--exit-code", "protos")


def format_protos() -> None:
    with exclusive():
        run(buf(), "format", "--write", "protos")


def breaking() -> None:
    """What is frozen travels with the tree, so that a clone of any depth and branch is compared alike."""
    if missing := [path for path in (FROZEN_IMAGE, FROZEN_EVENTS) if not path.is_file()]:
        names = ", ".join(str(path.relative_to(ROOT)) for path in missing)
        raise ContractsError(f"there is nothing to compare with: {names} is missing; get it back from git")
    with exclusive(), tempfile.TemporaryDirectory() as folder:
        third_party()
        run(buf(), "breaking", "protos", "--exclude-imports", "--against", FROZEN_IMAGE)
        promises_stay(Path(folder, "new.binpb.gz"))
    recorded_events_stay()
    print("nothing frozen is broken")


def promises_stay(new: Path) -> None:
    """buf compares no options of ours, but a REST path or an event's key is as much a promise as a field."""
    from tools.promises import broken  # needs gen/, which other commands here make

    build_image("protos", new)
    if sentences := broken(FROZEN_IMAGE, new):
        raise ContractsError("\n".join(sentences))


def recorded_events_stay() -> None:
    """Samples of events are only added: one that changed would hide what old builds cannot read any more."""
    recorded = dict(recorded_events())
    lines = (line.split("  ", 1) for line in FROZEN_EVENTS.read_text().splitlines())
    changed = [name for digest, name in lines if recorded.get(name) != digest]
    if changed:
        raise ContractsError(f"recorded events are only added, never changed: {', '.join(changed)}")


def recorded_events() -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of each file of the samples."""
    for path in sorted((ROOT / RECORDED).rglob("*")):
        if path.is_file():
            yield str(path.relative_to(ROOT)), hashlib.sha256(path.read_bytes()).hexdigest()


def freeze() -> None:
    """Only what keeps everything that is frozen already can be: so no break gets in by freezing it."""
    if FROZEN_IMAGE.exists():
        breaking()
    with exclusive():
        third_party()
        FROZEN_IMAGE.parent.mkdir(exist_ok=True)
        build_image("protos", FROZEN_IMAGE, "--exclude-source-info")
    # As sha256sum writes it.
    FROZEN_EVENTS.write_text("".join(f"{digest}  {name}\n" for name, digest in recorded_events()))
    print(f"frozen: commit {FROZEN_IMAGE.parent.name}/")


def build_image(protos: str, out: Path, *options: str) -> None:
    run(buf(), "build", protos, "--as-file-descriptor-set", *options, "--output", out.resolve())


def image(out: Path) -> None:
    with exclusive():
        third_party()
        build_image(".", out)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    steps = {"third-party": third_party, "lint": lint, "format": format_protos, "generate": generate,
             "check": check, "breaking": breaking, "freeze": freeze}  # fmt: skip
    for name in steps:
        commands.add_parser(name)
    commands.add_parser("image").add_argument("out", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.command == "image":
            image(arguments.out)
        else:
            steps[arguments.command]()
    except ContractsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
