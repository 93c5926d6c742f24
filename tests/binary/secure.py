"""TLS in front of a server that has none.

    python secure.py CERTIFICATE KEY HOST:PORT

Prints the port on which it listens, and hands on what it hears and what the server answers. A handshake that fails is the client's business.
"""

import socket
import ssl
import sys
import threading

CERTIFICATE, KEY, SERVER = sys.argv[1:]
HOST, PORT = SERVER.rsplit(":", 1)
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(CERTIFICATE, KEY)


def hand_on(heard, said):
    try:
        while data := heard.recv(1 << 16):
            said.sendall(data)
    except OSError:
        pass
    for end in (heard, said):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(client):
    try:
        client = CONTEXT.wrap_socket(client, server_side=True)
        server = socket.create_connection((HOST, int(PORT)))
    except OSError:
        client.close()
        return
    back = threading.Thread(target=hand_on, args=(server, client), daemon=True)
    back.start()
    hand_on(client, server)
    back.join()
    client.close()
    server.close()


listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
