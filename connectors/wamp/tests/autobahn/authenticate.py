"""Every way of proving who one is that Autobahn knows, with the right secret and with a wrong one."""

from framework import Denied, join, play

KEY = "20e8c05d0ede9506462bb049c4843032b18e8e75b314583d0c8d8a4942f9be40"
OTHER = "4c1b5e4a1f0d9ab3f4a2b7d93d1d3a3b6a4f5e0c2b1a09182736455463728190"

METHODS = [
    ("ticket", dict(authid="tina", ticket="a ticket"), dict(ticket="no ticket")),
    ("wampcra", dict(authid="cora", secret="a secret"), dict(secret="no secret")),
    ("wampcra", dict(authid="cleo", secret="a secret"), dict(secret="no secret")),
    ("scram", dict(authid="sam", nonce="", kdf="argon2id-13", password="a password"), dict(password="no password")),
    ("cryptosign", dict(authid="kay", privkey=KEY), dict(privkey=OTHER)),
]


async def is_denied(method, arguments, reason):
    try:
        await join("secure", (method, arguments))
    except Denied as denied:
        assert str(denied).startswith(reason), denied
        return
    raise AssertionError(f"{method} {arguments} was let in")


async def scenario():
    for method, right, wrong in METHODS:
        session = await join("secure", (method, right))
        details = session.details
        assert (details.authid, details.authrole, details.authmethod) == (right["authid"], "device", method), details
        session.leave()
        await session.left
        await is_denied(method, {**right, **wrong}, "wamp.error.authentication_denied")
        await is_denied(method, {**right, "authid": "nobody"}, "wamp.error.authentication_denied")
    await is_denied("anonymous", {}, "wamp.error.no_matching_auth_method")


play(scenario)
