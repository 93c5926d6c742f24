"""A device and a dashboard over WAMP, by Autobahn: publishes readings, and waits for the alarms that come of them.

    python wamp.py URL ALARM ALARM

An alarm is a row of a table, by its number there: whoever was killed before he could note what he had published publishes it again.
"""

import asyncio
import sys

import txaio

LOOP = asyncio.new_event_loop()
asyncio.set_event_loop(LOOP)
txaio.use_asyncio()
from autobahn.asyncio.wamp import ApplicationRunner, Session  # noqa: E402
from autobahn.wamp.types import PublishOptions  # noqa: E402

AWAITED = {f"alarms/0/{number}" for number in sys.argv[2:]}
ALARMS = {}


class Home(Session):
    async def onJoin(self, details):
        heard = asyncio.Event()

        def alarm(**row):
            ALARMS[row["_key"]] = (row["device"], row["temp"])
            if AWAITED <= ALARMS.keys():
                heard.set()

        await self.subscribe(alarm, "com.home.alarm")
        sure = PublishOptions(acknowledge=True)
        await self.publish("com.home.temp.kitchen", "t1", 21.5, options=sure)
        await self.publish("com.home.temp.attic", device="t2", temp=35.5, options=sure)
        await self.publish("com.home.temp.cellar", {"device": "t3", "temp": 31.0}, options=sure)
        await self.publish("com.home.humidity", "t4", 50.0, options=sure)
        await asyncio.wait_for(heard.wait(), 180)
        self.leave()

    def onDisconnect(self):
        LOOP.stop()


transport = ApplicationRunner(sys.argv[1], "realm1").run(Home, start_loop=False)
LOOP.run_until_complete(transport)
LOOP.run_forever()
assert sorted(ALARMS[key] for key in AWAITED) == [("t2", 35.5), ("t3", 31.0)], ALARMS
print("ok")
