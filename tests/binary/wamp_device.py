"""Answers for devices over WAMP, by Autobahn, until it is killed: a dictionary for one, a value for another, nothing for a third.

    python wamp_device.py URL ADD

Prints `ready` when it can be called.
"""

import asyncio
import sys

import txaio

LOOP = asyncio.new_event_loop()
asyncio.set_event_loop(LOOP)
txaio.use_asyncio()
from autobahn.asyncio.wamp import ApplicationRunner, Session  # noqa: E402

ADD = float(sys.argv[2])


class Devices(Session):
    async def onJoin(self, details):
        def setpoint(device):
            return {"t0": {"target": 20.0 + ADD}, "t1": 21.5 + ADD}.get(device)

        await self.register(setpoint, "com.home.setpoint")
        print("ready", flush=True)


LOOP.run_until_complete(ApplicationRunner(sys.argv[1], "realm1").run(Devices, start_loop=False))
LOOP.run_forever()
