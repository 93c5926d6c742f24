"""Sessions of Autobahn, over asyncio or Twisted, for scripts that are written once for both.

    python SCRIPT.py asyncio|twisted URL SERIALIZER
"""

import asyncio
import sys
import traceback

import txaio

FRAMEWORK, URL, SERIALIZER = sys.argv[1:4]

if FRAMEWORK == "twisted":
    from twisted.internet import asyncioreactor

    LOOP = asyncio.new_event_loop()
    asyncio.set_event_loop(LOOP)
    asyncioreactor.install(LOOP)
    txaio.use_twisted()
    from autobahn.twisted.wamp import ApplicationRunner, Session
    from twisted.internet import reactor
    from twisted.internet.defer import ensureDeferred

    txaio.config.loop = reactor
else:
    LOOP = asyncio.new_event_loop()
    asyncio.set_event_loop(LOOP)
    txaio.use_asyncio()
    from autobahn.asyncio.wamp import ApplicationRunner, Session

    txaio.config.loop = LOOP

from autobahn.wamp.auth import create_authenticator
from autobahn.wamp.serializer import CBORSerializer, JsonSerializer, MsgPackSerializer


def serializers():
    name, _, batched = SERIALIZER.partition(".")
    kinds = {"json": JsonSerializer, "msgpack": MsgPackSerializer, "cbor": CBORSerializer}
    return [kinds[name](batched=bool(batched))]


class Denied(Exception):
    """The router did not let the session in."""


async def join(realm="realm1", authentication=None):
    """Opens a session; `authentication` is (method, its arguments)."""
    joined = txaio.create_future()

    class Here(Session):
        def __init__(self, config):
            super().__init__(config)
            self.left = txaio.create_future()
            if authentication:
                method, arguments = authentication
                self.add_authenticator(create_authenticator(method, **arguments))

        def on_join(self, details):
            self.details = details
            txaio.resolve(joined, self)

        def on_leave(self, details):
            if not txaio.is_called(joined):
                txaio.reject(joined, Denied(f"{details.reason}: {details.message}"))
            if not txaio.is_called(self.left):
                txaio.resolve(self.left, details)
            self.disconnect()

    runner = ApplicationRunner(URL, realm, serializers=serializers())
    if FRAMEWORK == "twisted":
        await runner.run(Here, start_reactor=False)
    else:
        await runner.run(Here, start_loop=False)
    return await joined


async def pause(seconds):
    over = txaio.create_future()
    txaio.call_later(seconds, txaio.resolve, over, None)
    await over


async def until(condition, what):
    """Waits until something holds, for two minutes and more."""
    for _ in range(15_000):
        if condition():
            return
        await pause(0.01)
    raise AssertionError(f"it never came to this: {what}")


def play(scenario):
    """Runs a coroutine to its end; the exit code tells how it went."""
    failed = []

    async def guarded():
        try:
            await scenario()
        except BaseException:
            failed.append(traceback.format_exc())

    if FRAMEWORK == "twisted":
        ensureDeferred(guarded()).addBoth(lambda _: reactor.callLater(0, reactor.stop))
        reactor.run()
    else:
        LOOP.run_until_complete(asyncio.wait_for(guarded(), 300))
    if failed:
        print(failed[0], file=sys.stderr)
    sys.exit(1 if failed else 0)
