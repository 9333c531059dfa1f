"""The overlays as a cluster would be given them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s.manifests import OVERLAYS, Manifests
from tools.programs import MissingError, program

ROOT = Path(__file__).parents[2]


def _builder() -> list[str]:
    """kubectl, or kustomize, which is the part of it that is needed here."""
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize"]
    try:
        return [str(program("kustomize")), "build"]
    except MissingError as missing:
        pytest.fail(str(missing), pytrace=False)


def _build(k8s: Path, overlay: str) -> Manifests:
    command = [*_builder(), str(k8s / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(done.stdout))
    return Manifests(overlay, documents)


@pytest.fixture(scope="session", params=OVERLAYS)
def built(request: pytest.FixtureRequest) -> Manifests:
    """Each overlay, built."""
    return _build(ROOT / "k8s", request.param)


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifests, Manifests]:
    """Production as it is, and with the components for traces and Prometheus."""
    k8s = _with_components(tmp_path_factory.mktemp("observed"), "traces", "prometheus")
    return _build(ROOT / "k8s", "production"), _build(k8s, "production")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifests, Manifests]:
    """Production as it is, and with mTLS."""
    k8s = _with_components(tmp_path_factory.mktemp("secured"), "tls")
    return _build(ROOT / "k8s", "production"), _build(k8s, "production")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifests, Manifests]:
    """Production as it is, and with the books in PostgreSQL."""
    k8s = _with_components(tmp_path_factory.mktemp("shared"), "postgresql")
    return _build(ROOT / "k8s", "production"), _build(k8s, "production")


def _with_components(folder: Path, *names: str) -> Path:
    """A copy of k8s/ in which production uses components that it lists as comments."""
    k8s = folder / "k8s"
    shutil.copytree(ROOT / "k8s", k8s)
    path = k8s / "overlays" / "production" / "kustomization.yaml"
    text = path.read_text()
    for name in names:
        assert f"  # - ../../components/{name}\n" in text
        text = text.replace(f"  # - ../../components/{name}\n", f"  - ../../components/{name}\n")
    path.write_text(text)
    return k8s
