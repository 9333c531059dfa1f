"""What README and docs tell a reader to type exists; what they show of the mesh is what the contracts say."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from google.protobuf import descriptor_pool, json_format, message_factory

from edge.gate import Gate, Request
from edge.rest import RestForms
from services.cli.main import app
from services.cli.supervisor.plan import EDGE_PORT
from services.errors import FxError
from services.runtime.policy import service_policies
from tools.graph import current

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`(fxmesh [^`]+)`")
LINK = re.compile(r"\]\(([^)#:]+)\)")


def commands(block: str) -> Iterator[list[str]]:
    """The commands of a shell block as words; a quote or a backslash continues a line."""
    pending = ""
    for line in block.splitlines():
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # inside a quote
            pending += "\n"
            continue
        pending = ""
        if words:
            yield words
    assert not pending, f"does not end: {pending}"


BLOCKS = [words for page in PAGES for block in BLOCK.findall(page.read_text()) for words in commands(block)]
TYPED = [words for words in BLOCKS if words[0] == "fxmesh"]
SPANS = [shlex.split(span) for page in PAGES for span in SPAN.findall(page.read_text())]
CURLED = [words[1:] for words in BLOCKS if words[0] == "curl"]
CALLED = [words[1:] for words in BLOCKS if words[0] == "grpcurl"]


def parse(words: list[str]) -> None:
    """Parse a command line as `fxmesh` would, without running it. Raises TyperException for wrong usage."""
    command: Any = typer.main.get_command(app)
    name, *rest = words
    while True:
        context = command.make_context(name, rest)
        left = [*context._protected_args, *context.args]
        if not left or not hasattr(command, "resolve_command"):
            return
        name, command, rest = command.resolve_command(context, left)


def test_blocks_hold_only_what_is_checked() -> None:
    known = {
        "curl",
        "docker",
        "export",
        "fxmesh",
        "grpcurl",
        "k8s/make-secrets.sh",
        "kubectl",
        "make",
        "python",
    }
    assert {words[0] for words in BLOCKS} <= known
    assert len(TYPED) > 10
    assert len(CALLED) > 5
    assert len(CURLED) > 5


@pytest.mark.parametrize("words", TYPED + SPANS, ids=" ".join)
def test_each_fxmesh_command_is_understood(words: list[str]) -> None:
    parse(words)


@pytest.mark.parametrize(
    "words", [["fxmesh", "quote"], ["fxmesh", "order", "buy", "EURUSD", "1", "--limt", "1"]]
)
def test_a_mistyped_command_is_noticed(words: list[str]) -> None:
    with pytest.raises(typer.TyperException):
        parse(words)


@pytest.mark.parametrize("words", CALLED, ids=lambda words: words[-1])
def test_each_grpcurl_call_fits_the_contracts(words: list[str]) -> None:
    services = {policy.full_name: policy for policy in service_policies()}
    by_port = {policy.grpc_port: policy for policy in services.values()}
    at = next(index for index, word in enumerate(words) if word.startswith("localhost:"))
    port = int(words[at].partition(":")[2])
    verb = words[at + 1]
    if verb == "list":
        assert port in (*by_port, EDGE_PORT)
        return
    pool = descriptor_pool.Default()
    symbol = words[at + 2] if verb == "describe" else verb
    importlib.import_module(f"fxmesh.{symbol.split('.')[1]}.v1.service_pb2")
    package = symbol.partition(".v1.")[0]
    (policy,) = (each for each in services.values() if each.full_name.startswith(f"{package}.v1."))
    assert port in (policy.grpc_port, EDGE_PORT)
    if verb == "describe":
        of, _, method = symbol.rpartition(".")
        if of in services:
            assert method in pool.FindServiceByName(of).methods_by_name
            symbol = of
        assert pool.FindFileContainingSymbol(symbol).package == policy.full_name.rpartition(".")[0]
        return
    service, _, method = verb.partition("/")
    assert service == policy.full_name
    request = pool.FindServiceByName(service).methods_by_name[method].input_type
    json_format.Parse(words[words.index("-d") + 1], message_factory.GetMessageClass(request)())


@pytest.mark.parametrize("words", CURLED, ids=lambda words: words[-1])
def test_each_curl_call_is_one_that_the_edge_takes(words: list[str]) -> None:
    (url,) = (word for word in words if word.startswith("http"))
    at = f"http://localhost:{EDGE_PORT}"
    assert url.startswith(f"{at}/")
    body = words[words.index("-d") + 1] if "-d" in words else ""
    request = Request("POST" if body else "GET", url.removeprefix(at), body.encode())
    gate = Gate(RestForms(service_policies()))
    if "stop_prise" in body:  # the example of a refusal
        with pytest.raises(FxError, match="did you mean stop_price"):
            gate.check(request)
    else:
        gate.check(request)


def test_each_make_target_and_script_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    scripts = [words[1] for words in BLOCKS if words[0] == "python"]
    scripts += [words[0] for words in BLOCKS if "/" in words[0]]
    assert {words[1] for words in BLOCKS if words[0] == "make"} <= targets
    assert scripts
    text = (ROOT / "README.md").read_text()
    for path in [*scripts, *re.findall(r"`((?:bench|examples)/\w+\.py)`", text)]:
        assert (ROOT / path).is_file(), path


def test_each_overlay_and_manifest_is_there() -> None:
    applied = {word for words in BLOCKS if words[0] == "kubectl" for word in words if word.startswith("k8s/")}
    files = {path for path in applied if path.endswith(".yaml")}
    assert files == {"k8s/cert-manager.yaml"}
    assert applied - files == {"k8s/overlays/development", "k8s/overlays/production"}
    for path in (*files, *(f"{folder}/kustomization.yaml" for folder in applied - files)):
        assert (ROOT / path).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent.name == "docs"], ids=lambda page: page.name
)
def test_each_path_in_the_docs_exists(page: Path) -> None:
    text = page.read_text()
    folders = "services|interceptors|edge|protos|tests|bench|gen|k8s"
    for path in re.findall(rf"`((?:{folders})/[\w/.-]*)`", text):
        assert (ROOT / path).exists(), path


def test_pictures_and_tables_are_what_the_contracts_say() -> None:
    stale = [path.name for path, text in current().items() if path.read_text() != text]
    assert not stale, "run: .venv/bin/python tools/graph.py write"
