"""Publishes numbers with acknowledgement, many at a time, and says which of them were acknowledged, until the router goes.

    python wamp_sure.py URL FIRST
"""

import asyncio
import sys

import txaio

LOOP = asyncio.new_event_loop()
asyncio.set_event_loop(LOOP)
txaio.use_asyncio()
from autobahn.asyncio.wamp import ApplicationRunner, Session  # noqa: E402
from autobahn.wamp.exception import ApplicationError  # noqa: E402
from autobahn.wamp.types import PublishOptions  # noqa: E402


class Publisher(Session):
    async def one(self, number):
        try:
            await self.publish("com.sure", number, options=PublishOptions(acknowledge=True))
        except ApplicationError as error:
            print("refused", number, error.error, flush=True)
        else:
            print("sure", number, flush=True)

    async def onJoin(self, details):
        number = int(sys.argv[2])
        try:
            while True:
                await asyncio.gather(*(self.one(number + next) for next in range(64)))
                number += 64
        except Exception as gone:
            print("gone", type(gone).__name__, flush=True)

    def onDisconnect(self):
        LOOP.stop()


transport = ApplicationRunner(sys.argv[1], "realm1").run(Publisher, start_loop=False)
LOOP.run_until_complete(transport)
LOOP.run_forever()
