"""The echo service, compiled when first imported: `service_pb2`, `service_pb2_grpc` and its full name.

The contracts it imports come from gen/ as descriptors, so that no third-party .proto need be present.
"""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from buf.validate import validate_pb2
from fxmesh.policy.v1 import policy_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

SERVICE = "echo.v1.EchoService"
_FOLDER = "ECHO_CONTRACT"
"""Environment variable with which a process hands its folder on to those it starts."""


def _with_imports(file: FileDescriptor, into: dict[str, FileDescriptor]) -> None:
    for each in file.dependencies:
        _with_imports(each, into)
    into[file.name] = file


def _compile(folder: Path) -> None:
    files: dict[str, FileDescriptor] = {}
    for module in (policy_pb2, validate_pb2):
        _with_imports(module.DESCRIPTOR, files)
    known = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(known.file.add())
    (folder / "known.binpb").write_bytes(known.SerializeToString())
    (folder / "echo/v1").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("service.proto"), folder / "echo/v1/service.proto")
    arguments = (
        f"--descriptor_set_in={folder}/known.binpb",
        f"--proto_path={folder}",
        f"--python_out={folder}",
        f"--grpc_python_out={folder}",
        "echo/v1/service.proto",
    )
    if protoc.main(("protoc", *arguments)) != 0:
        raise RuntimeError("the echo contract does not compile")


def _compiled() -> str:
    """The folder of what was compiled: by the process that began the test, which removes it. Those it starts
    may be killed, and would leave theirs behind.
    """
    folder = os.environ.get(_FOLDER)
    if folder is None:
        folder = os.environ[_FOLDER] = tempfile.mkdtemp(prefix="fxmesh-echo-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _compile(Path(folder))
    return folder


sys.path.append(_compiled())
service_pb2: Any = importlib.import_module("echo.v1.service_pb2")
service_pb2_grpc: Any = importlib.import_module("echo.v1.service_pb2_grpc")
