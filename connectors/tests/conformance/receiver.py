"""A receiver that shares nothing with the engine: takes a delivery only if its signature is right.

Prints its port, then for each request the status it gave and the idempotency key.
"""

import hashlib
import hmac
import http.server
import sys
import time

SECRET = sys.argv[1].encode()


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = dict(part.split("=", 1) for part in self.headers["X-Headwater-Signature"].split(","))
        expect = hmac.new(SECRET, parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        fresh = abs(time.time() - int(parts["t"])) < 60
        status = 204 if fresh and hmac.compare_digest(expect, parts["v1"]) else 401
        self.send_response(status)
        self.end_headers()
        print(status, self.headers["Idempotency-Key"], flush=True)

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()
