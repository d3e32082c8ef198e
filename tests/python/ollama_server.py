"""A server that speaks the part of Ollama's API that SpinBot uses, over real HTTP, and can be told to fail.

https://github.com/ollama/ollama/blob/main/docs/api.md: `/api/chat` streams one JSON object a line, `/api/tags` lists models.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

MODEL = "tiny-llama:latest"
NARRATION = (
    "An octopus has three hearts. Two of them push blood through the gills, and the third one feeds the rest of the body. "
    "When it swims, that third heart stops, so an octopus would rather crawl."
)


class Ollama:
    """What it was asked, and how it behaves."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer = json.dumps({"stage": "at the beach", "narration": NARRATION})
        self.garbled = False
        """Whether it answers with what is no JSON at all."""
        self.pause = 0.0
        """Seconds between pieces."""
        self.url = ""


@contextlib.contextmanager
def served() -> Iterator[Ollama]:
    """One of them, listening on a port of its own."""
    ollama = Ollama()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def reply(self, status: int, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.reply(200, {"models": [{"name": MODEL}, {"name": "other:7b"}]})

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            ollama.requests.append(request)
            if request["model"] not in (MODEL, MODEL.removesuffix(":latest")):
                self.reply(404, {"error": f"model '{request['model']}' not found"})
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/x-ndjson")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            pieces = [ollama.answer[at : at + 7] for at in range(0, len(ollama.answer), 7)]
            lines = [{"message": {"role": "assistant", "content": piece}, "done": False} for piece in pieces]
            end = {"message": {"content": ""}, "done": True, "eval_count": len(pieces), "eval_duration": 2_000_000_000}
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for line in [*lines, end]:
                    text = "<html>" if ollama.garbled else json.dumps(line)
                    chunk = f"{text}\n".encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    self.wfile.flush()
                    time.sleep(ollama.pause)
                self.wfile.write(b"0\r\n\r\n")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ollama.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield ollama
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
