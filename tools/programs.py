"""Programs that a few tests drive as users do: grpcurl calls the platform, promtool judges its metrics,
kustomize builds the Kubernetes manifests; and faketime, a library that lets a process's wall clock jump.

    python tools/programs.py grpcurl promtool   print where each is, fetched if it is nowhere

On PATH, in .tools/, else fetched without root: `go install` builds grpcurl and kustomize, Debian's packages
prometheus and libfaketime have the others. Ends with 1 and a sentence for each that cannot be had.
"""

import argparse
import os
import sys
from pathlib import Path

from services.cli.fetch import Program, attempts, candidates

TOOLS = Path(__file__).resolve().parent.parent / ".tools"
PROGRAMS = {
    "grpcurl": Program("grpcurl", go="github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"),
    "promtool": Program("promtool", debian="prometheus"),
    "faketime": Program("libfaketimeMT.so.1", debian="libfaketime"),
    # What `kubectl kustomize` is. Debian 12's kubectl is too old to know components.
    "kustomize": Program("kustomize", go="sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"),
}
INSTALL = {
    "faketime": "put libfaketimeMT.so.1, which libfaketime brings, into .tools/",
    "grpcurl": "install Go, or grpcurl 1.9 or newer, on PATH",
    "kustomize": "install kubectl 1.27 or newer, or Go, on PATH",
    "promtool": "put promtool, which every Prometheus brings, on PATH",
}


class MissingError(Exception):
    """A program cannot be had here; says why and what to do."""


def program(name: str) -> Path:
    """Where it is, fetched if need be. Raises MissingError."""
    wanted = PROGRAMS[name]
    tried: list[str] = []
    for found in candidates(wanted, TOOLS):
        return found
    for trouble in attempts(wanted, TOOLS, os.environ, lambda line: print(line, file=sys.stderr)):
        for found in candidates(wanted, TOOLS):
            return found
        tried.append(trouble)
    raise MissingError(f"there is no {name} here ({'; '.join(tried)}): {INSTALL[name]}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program", nargs="+", choices=sorted(PROGRAMS))
    missing = 0
    for name in parser.parse_args().program:
        try:
            print(program(name))
        except MissingError as why:
            print(why, file=sys.stderr)
            missing = 1
    return missing


if __name__ == "__main__":
    sys.exit(main())
