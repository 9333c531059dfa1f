"""The server of the REST stack: FastAPI with a checked body on uvicorn with uvloop and httptools."""

import socket
import sys
import threading

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI()


class Message(BaseModel):
    """What is asked and answered."""

    text: str = Field(max_length=2_000_000)


@app.post("/echo")
async def echo(message: Message) -> Message:
    """As little handler as there can be."""
    return Message(text=message.text)


def serve() -> None:
    """Print the port and serve until standard input ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", access_log=False, loop="uvloop", http="httptools")
    server = uvicorn.Server(config)

    def stop_when_stdin_ends() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=stop_when_stdin_ends, daemon=True).start()
    print(listening.getsockname()[1], flush=True)
    server.run([listening])
