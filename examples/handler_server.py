"""The same hub with WebSocketBinaryHandler, which adds queues, resuming, limits, reports of losses, and metrics.

pip install fastapi uvicorn websockets "ecgframe[starlette]"
python handler_server.py 8000
"""

import sys
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, WebSocket

from ecgframe.server import ConnectionInfo, WebSocketBinaryHandler
from ecgframe.server.adapters.starlette import accept, listen
from ecgframe.server.adapters.uvicorn import options_for


async def trust_the_network(connection: ConnectionInfo, action: str, stream: str | None) -> bool:
    return True  # subscribe, publish and broadcast; without this hook, clients may only subscribe


handler = WebSocketBinaryHandler(authorize=trust_the_network)


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with handler:
        yield


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws")
async def live(websocket: WebSocket) -> None:
    await accept(handler, websocket)


if __name__ == "__main__":
    listener = listen("127.0.0.1", int(sys.argv[1]))
    print("Running on http://{}:{}".format(*listener.getsockname()), file=sys.stderr)
    uvicorn.Server(uvicorn.Config(app, **options_for(handler))).run(sockets=[listener])
