#!/bin/sh
# Installs fxmesh, as it lies in this source tree, into the folder TARGET: a virtual environment with the
# locked run-time packages and the project's wheel, and nothing of what built it. The Dockerfile runs this;
# tests/k8s/test_image.py runs the same in an empty folder.
#
#     tools/image/install.sh TARGET [PYTHON]
set -eu
target=${1:?usage: tools/image/install.sh TARGET [PYTHON]}
python=${2:-python3}
export UV_SYSTEM_CERTS=1 UV_PYTHON_DOWNLOADS=never # as in the Makefile
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work/tools"
tools=$work/tools/bin
"$tools/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
"$tools/uv" pip install --quiet --python "$tools/python" --require-hashes -r requirements/build.txt
"$tools/uv" build --quiet --wheel --no-build-isolation --python "$tools/python" --out-dir "$work/wheel"

# Compiled now: a container cannot write beside its code later, and would compile at every start.
"$python" -m venv --without-pip "$target"
"$tools/uv" pip install --quiet --compile-bytecode --python "$target/bin/python" --require-hashes -r requirements/run.txt
"$tools/uv" pip install --quiet --compile-bytecode --python "$target/bin/python" --no-deps "$work"/wheel/*.whl
