"""The agreed layout, where import-linter (pyproject.toml) cannot see it.

The seven services are those the contracts name. An exception to a rule stands here, with its reason, or not
at all.
"""

import ast
import importlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from fxmesh.policy.v1 import policy_pb2

ROOT = Path(__file__).resolve().parent.parent

# Each may be a module or, once it has outgrown a file, a package of that name.
AGREED = (
    "__init__",
    "__main__",
    "compose",
    "config",
    "domain",
    "ports",
    "handlers",
    "wire",
    "servicer",
    "consumers",
    "adapters",
)
# (service, part) -> why this service does without it.
LEFT_OUT: dict[tuple[str, str], str] = {}

SEE_MESSAGES = {"wire", "servicer", "consumers", "adapters"}
# Outside the services' own config.py.
READ_ENVIRONMENT = {Path("services/runtime/settings.py")}
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb"}
# A clock, chance without a seed, or the outside world. Domain code is handed what it needs.
IMPURE = {
    "time",
    "os",
    "io",
    "pathlib",
    "socket",
    "secrets",
    "uuid",
    "subprocess",
    "threading",
    "logging",
    "sqlite3",
}
BANNED_NAMES = {"utils", "util", "helpers", "common", "base", "manager", "processor", "misc"}
LONGEST_FILE = 400


def services_of_the_contracts() -> tuple[str, ...]:
    names = []
    for module in sorted((ROOT / "gen" / "fxmesh").glob("*/v1/service_pb2.py")):
        area = module.parent.parent.name
        descriptor = importlib.import_module(f"fxmesh.{area}.v1.service_pb2").DESCRIPTOR
        names += [
            service.GetOptions().Extensions[policy_pb2.service].name
            for service in descriptor.services_by_name.values()
        ]
    return tuple(names)


SERVICES = services_of_the_contracts()


def python_files(*tops: str) -> list[Path]:
    """Paths below the given folders, relative to the repository."""
    return sorted(path.relative_to(ROOT) for top in tops for path in (ROOT / top).rglob("*.py"))


def parsed(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(), filename=str(path))


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of every import in a file; the name is empty for `import module`."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def attributes(path: Path) -> Iterator[str]:
    """Every dotted access of one level, as in `os.environ`."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def part_of_service(path: Path) -> str:
    """`handlers` for services/trading_gateway/handlers/orders.py."""
    return path.parts[2].removesuffix(".py")


def report(findings: list[str]) -> None:
    assert not findings, "\n" + "\n".join(findings)


def test_the_contracts_name_seven_services() -> None:
    assert len(SERVICES) == len(set(SERVICES)) == 7


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_agreed_parts(service: str) -> None:
    folder = ROOT / "services" / service
    missing = [
        part
        for part in AGREED
        if not (folder / f"{part}.py").is_file() and not (folder / part / "__init__.py").is_file()
    ]
    assert missing == [part for part in AGREED if (service, part) in LEFT_OUT]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_like_all_others(service: str) -> None:
    entry = ROOT / "services" / service / "__main__.py"
    statements = [node for node in parsed(entry).body if not isinstance(node, ast.Expr)]
    imported = [name for _, name in imports(entry) if name != "annotations"]
    assert sorted(imported) == ["Settings", "compose", "run"]
    assert isinstance(statements[-1], ast.If)
    assert ast.unparse(statements[-1].body[-1]).endswith(", Settings, compose)")


def test_the_independence_rule_names_all_services() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    wanted = {f"services.{service}" for service in SERVICES}
    rules = {rule["name"]: rule for rule in linter["contracts"]}
    assert set(rules["Services never import each other"]["modules"]) == wanted
    assert wanted < set(rules["Mesh, runtime and pure packages know no service"]["forbidden_modules"])


def test_generated_messages_stay_at_the_rim_of_a_service() -> None:
    report(
        [
            f"{path} imports {module}"
            for path in python_files(*(f"services/{service}" for service in SERVICES))
            if part_of_service(path) not in SEE_MESSAGES
            for module, name in imports(path)
            if module.startswith(("fxmesh", "buf", "services.wire"))
            # Registration of a servicer is not a message: compose hands it to the server.
            and not (part_of_service(path) == "compose" and name.startswith("add_"))
        ]
    )


def test_only_settings_read_the_environment() -> None:
    findings = []
    for path in python_files("services", "interceptors", "edge"):
        if path.name == "config.py" or path in READ_ENVIRONMENT:
            continue
        used = {*attributes(path), *(f"{module}.{name}" for module, name in imports(path))}
        findings += [f"{path} uses {access}" for access in sorted(used & ENVIRONMENT)]
        findings += [
            f"{path}: {node.name} is filled from the environment"
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.ClassDef)
            and any(ast.unparse(b).endswith("BaseSettings") for b in node.bases)
        ]
    report(findings)


def test_domains_are_handed_time_and_data() -> None:
    domains = (f"services/{service}/domain" for service in SERVICES)
    findings = []
    for path in python_files(*domains, "services/money", "services/quant"):
        findings += [f"{path} imports {m}" for m, _ in imports(path) if m.split(".")[0] in IMPURE]
        findings += [
            f"{path} calls {access}"
            for access in attributes(path)
            if access in ("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "random.random")
        ]
    report(findings)


def test_every_file_says_what_it_is_for() -> None:
    files = python_files("services", "interceptors", "edge", "tools")
    assert len(files) > 50
    report([f"{path} has no docstring" for path in files if not ast.get_docstring(parsed(path))])


def test_no_file_outgrows_one_reading() -> None:
    findings = []
    for path in python_files("services", "interceptors", "edge", "tests", "tools", "bench"):
        lines = len((ROOT / path).read_text().splitlines())
        if lines > LONGEST_FILE:
            findings.append(f"{path} has {lines} lines: split it along a concept")
    report(findings)


def test_modules_are_named_for_what_they_are() -> None:
    report(
        [
            f"{path}: {word}"
            for path in python_files("services", "interceptors", "edge", "tests", "tools", "bench")
            for part in path.with_suffix("").parts
            for word in part.split("_")
            if word in BANNED_NAMES
        ]
    )


def test_tests_are_no_package() -> None:
    # With importmode=importlib an __init__.py would give test modules two names. Fakes and kits are imported.
    kept = {"fakes", "kit"}
    report(
        [
            str(path)
            for path in python_files("tests")
            if path.name == "__init__.py" and not kept & set(path.parts)
        ]
    )
