"""What the examples call with: an API key in FXMESH_KEY, else the token of the platform on this machine."""

import os
import subprocess

import grpc


def credentials() -> grpc.ChannelCredentials:
    """For `grpc.secure_channel` and `grpc.aio.secure_channel` to a port of this machine, without TLS."""
    key = os.environ.get("FXMESH_KEY")
    if not key:
        key = subprocess.run(["fxmesh", "token"], check=True, capture_output=True, text=True).stdout.strip()
    return grpc.composite_channel_credentials(
        grpc.local_channel_credentials(), grpc.access_token_call_credentials(key)
    )
