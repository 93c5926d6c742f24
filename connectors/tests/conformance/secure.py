"""A server of HTTPS that lets in whoever has a certificate of its authority, and a registry of schemas beside.

    python secure.py DIRECTORY

The directory holds server.crt, server.key and ca.crt. Prints its port, then for each request the name in the client's certificate, the
method and the body.
"""

import http.server
import json
import pathlib
import ssl
import sys

KEYS = pathlib.Path(sys.argv[1])
SCHEMAS = []
SHOWN = b'{"n": 7, "text": "seen"}'


class Receiver(http.server.BaseHTTPRequestHandler):
    def told(self, body):
        subject = dict(pair for names in self.connection.getpeercert()["subject"] for pair in names)
        print(subject["commonName"], self.command, body.decode(), flush=True)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).strip()
        self.told(body)
        if self.path.startswith("/subjects/"):
            SCHEMAS.append(body)
            self.answer(200, json.dumps({"id": len(SCHEMAS)}).encode())
        else:
            self.send_response(204)
            self.end_headers()

    def do_GET(self):
        self.told(b"-")
        if not self.path.startswith("/schemas/ids/"):
            self.answer(200, SHOWN)
        elif (number := int(self.path.rpartition("/")[2])) <= len(SCHEMAS):
            self.answer(200, SCHEMAS[number - 1])
        else:
            self.answer(404, b"{}")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    # Handshakes are the business of a connection's own thread.
    def finish_request(self, request, client_address):
        try:
            request = CONTEXT.wrap_socket(request, server_side=True)
        except OSError:
            return
        super().finish_request(request, client_address)
        request.close()


CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(KEYS / "server.crt", KEYS / "server.key")
CONTEXT.load_verify_locations(KEYS / "ca.crt")
CONTEXT.verify_mode = ssl.CERT_REQUIRED
server = Server(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()
