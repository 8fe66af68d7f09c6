"""A shop that is broken for as long as there is a file `broken` beside it, and says so to Prometheus."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BROKEN = Path(__file__).with_name("broken")


class Metrics(BaseHTTPRequestHandler):
    """Answers every GET with one gauge."""

    def do_GET(self) -> None:
        """Say whether it is broken."""
        body = f"shop_broken {int(BROKEN.exists())}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9400
    ThreadingHTTPServer(("127.0.0.1", port), Metrics).serve_forever()
