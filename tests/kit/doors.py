"""Two clients that know of the contracts what a server's reflection tells: grpcurl, and Python."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2  # noqa: F401 - so that details can be read as JSON
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from tests.kit.live import identified

LIMIT_S = 20
# "rpc PlaceOrder (" in a service; "  string size = 6" in a message.
_RPC = re.compile(r"^  rpc (\w+) \(", re.MULTILINE)
_SIGNATURE = re.compile(r"\( (?:stream )?\.([\w.]+) \) returns \( (?:stream )?\.([\w.]+) \)")
_FIELD = re.compile(r"^ +(?:repeated |optional )?(?:map<[^>]+>|[\w.]+) (\w+) = \d+", re.MULTILINE)


@dataclass(frozen=True)
class RefusedError(Exception):
    """What an error said: the status code's name, the reason of its details, the fields at fault."""

    code: str
    reason: str
    fields: tuple[str, ...]

    @classmethod
    def of(cls, code: int, details: list[dict[str, Any]]) -> Self:
        """From a status whose details are JSON, each with its `@type`."""
        by_type = {each["@type"].rpartition(".")[2]: each for each in details}
        bad = by_type.get("BadRequest", {})
        violations = bad.get("fieldViolations", bad.get("field_violations", []))
        names = {each.value[0]: each.name for each in grpc.StatusCode}
        reason = by_type.get("ErrorInfo", {}).get("reason", "")
        return cls(names[code], reason, tuple(each["field"] for each in violations))


class Door(Protocol):
    """One way in. Methods are `package.Service/Method`, requests and answers JSON."""

    def services(self) -> set[str]:
        """Full names of the services that the address serves."""

    def parts(self, symbol: str) -> set[str]:
        """The methods of a service, or the fields of a message, by full name."""

    def signature(self, method: str) -> tuple[str, str]:
        """What a method, `package.Service.Method`, takes and gives: full names of messages."""

    def call(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a unary call. Raises RefusedError."""

    def first(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The first answer of a stream, which is then left. Raises RefusedError."""


class Grpcurl:
    """The command, as README shows it."""

    def __init__(self, program: Path, address: str, token: str) -> None:
        limits = ["-plaintext", "-max-time", str(LIMIT_S), "-format-error"]
        self._command = [str(program), *limits, "-H", f"authorization: Bearer {token}"]
        self._address = address

    def services(self) -> set[str]:
        return set(self._run(self._address, "list").split())

    def parts(self, symbol: str) -> set[str]:
        text = self._run(self._address, "describe", symbol)
        return set(_RPC.findall(text) if f"{symbol} is a service" in text else _FIELD.findall(text))

    def signature(self, method: str) -> tuple[str, str]:
        text = self._run(self._address, "describe", method)
        assert f"{method} is a method" in text, text
        asks, answers = _SIGNATURE.findall(text)[0]
        return asks, answers

    def call(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._run("-d", json.dumps(request), self._address, method))
        return answer

    def first(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        command = [*self._command, "-d", json.dumps(request), self._address, method]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdout is not None and process.stderr is not None
            said = ""
            for line in process.stdout:
                said += line
                if line.rstrip() == "}":  # only the outermost brace stands at the margin
                    process.kill()
                    answer: dict[str, Any] = json.loads(said)
                    return answer
            raise _refused(process.stderr.read())

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments], capture_output=True, text=True, timeout=LIMIT_S + 5, check=False
        )
        if done.returncode != 0:
            raise _refused(done.stderr)
        return done.stdout


def _refused(said: str) -> RefusedError:
    try:
        status = json.loads(said)
    except json.JSONDecodeError as no_status:
        raise AssertionError(f"grpcurl: {said}") from no_status
    return RefusedError.of(status["code"], status.get("details", []))


class Reflecting:
    """A Python client without generated code: descriptors come from the server."""

    def __init__(self, address: str, token: str) -> None:
        self._channel = grpc.secure_channel(address, identified(token))
        self._database = ProtoReflectionDescriptorDatabase(self._channel)
        self._pool = DescriptorPool(self._database)

    def close(self) -> None:
        self._channel.close()

    def services(self) -> set[str]:
        return set(self._database.get_services())

    def parts(self, symbol: str) -> set[str]:
        try:
            return {method.name for method in self._pool.FindServiceByName(symbol).methods}
        except KeyError:
            return {field.name for field in self._pool.FindMessageTypeByName(symbol).fields}

    def signature(self, method: str) -> tuple[str, str]:
        service, _, name = method.rpartition(".")
        (file,) = self._database.FindFileContainingSymbol(method).service
        (found,) = (each for each in file.method if each.name == name and service.endswith(f".{file.name}"))
        return found.input_type.removeprefix("."), found.output_type.removeprefix(".")

    def call(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        message, serialize, parse = self._codec(method, request)
        unary = self._channel.unary_unary(f"/{method}", serialize, parse)
        try:
            return json_format.MessageToDict(unary(message, timeout=LIMIT_S))
        except grpc.RpcError as failure:
            raise _details(failure) from failure

    def first(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        message, serialize, parse = self._codec(method, request)
        answers = self._channel.unary_stream(f"/{method}", serialize, parse)(message, timeout=LIMIT_S)
        try:
            return json_format.MessageToDict(next(answers))
        except grpc.RpcError as failure:
            raise _details(failure) from failure
        finally:
            answers.cancel()

    def _codec(self, method: str, request: Mapping[str, Any]) -> tuple[Message, Any, Any]:
        service, _, name = method.partition("/")
        found = self._pool.FindServiceByName(service).methods_by_name[name]
        asks, answers = GetMessageClass(found.input_type), GetMessageClass(found.output_type)
        message = json_format.ParseDict(dict(request), asks(), descriptor_pool=self._pool)
        return message, asks.SerializeToString, answers.FromString


def _details(failure: grpc.RpcError) -> RefusedError:
    status = rpc_status.from_call(failure)  # type: ignore[arg-type]
    if status is None:
        raise AssertionError(f"no details: {failure}")
    return RefusedError.of(status.code, [json_format.MessageToDict(each) for each in status.details])
