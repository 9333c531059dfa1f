"""A buf plugin for `*_pb2_grpc.py`: hands buf's request to the generator inside grpcio-tools.

grpcio-tools has the generator built into its protoc and ships no plugin of its own, so protoc is given the
descriptors that buf has already compiled and the files it writes are sent back.
"""

import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def main() -> None:
    request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    services = {file.name for file in request.proto_file if file.service}
    wanted = [name for name in request.file_to_generate if name in services]
    response = CodeGeneratorResponse(
        supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL,
    )
    if wanted:
        with tempfile.TemporaryDirectory() as folder:
            descriptors = Path(folder, "descriptors.binpb")
            descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
            out = Path(folder, "out")
            out.mkdir()
            status = protoc.main(
                ["protoc", f"--descriptor_set_in={descriptors}", f"--grpc_python_out={out}", *wanted]
            )
            if status != 0:
                sys.exit(status)
            for path in sorted(out.rglob("*.py")):
                response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text())
    sys.stdout.buffer.write(response.SerializeToString())


if __name__ == "__main__":
    main()
