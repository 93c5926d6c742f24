"""Asks a router for events of the past, and calls procedures that run queries, by Autobahn.

    python wamp_past.py asyncio|twisted URL SERIALIZER fill|look
"""

import sys

from autobahn.exception import PayloadExceededError
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallOptions, PublishOptions, SubscribeOptions

from framework import join, pause, play

TICKET = ("ticket", dict(authid="t7", ticket="a ticket"))
GET = "wamp.subscription.get_events"
PREFIX = SubscribeOptions(match="prefix")


async def refused(coroutine, uri, words=""):
    try:
        await coroutine
    except ApplicationError as error:
        assert error.error == uri and words in str(error), error
        return
    raise AssertionError(f"this was to end in {uri}")


async def fill():
    """Readings for everybody, one for devices only, one that a session is kept from, and one elsewhere."""
    guest, device = await join(), await join("realm1", TICKET)

    async def publish(topic, *args, **kwargs):
        options = PublishOptions(acknowledge=True, **kwargs.pop("options", {}))
        await device.publish(topic, *args, options=options, **kwargs)

    for number in range(25):
        room = "attic" if number % 5 == 0 else "cellar"
        await publish(f"com.home.temp.{room}", f"t{number % 3}", number + 0.5, unit="C")
    await publish("com.home.temp.attic", "t0", 90.0, options=dict(eligible_authrole=["device"]))
    await publish("com.home.temp.attic", "t0", 91.0, options=dict(exclude=[guest.details.session]))
    await publish("com.home.temp.attic", "t0", 92.0, options=dict(eligible=[device.details.session]))
    await publish("com.home.other", 1)
    await leave(guest, device)


async def past():
    guest, device = await join(), await join("realm1", TICKET)
    assert guest._router_roles["broker"].event_history is True
    subscription = await guest.subscribe(lambda *args, **kwargs: None, "com.home.temp.", PREFIX)
    exact = await guest.subscribe(lambda *args, **kwargs: None, "com.home.temp.attic")

    async def get(session=guest, of=subscription, **options):
        # There are named results, too, so that Autobahn keeps one event apart from a list of one.
        result = await session.call(GET, of.id, **options)
        return list(result.results or []), result.kwresults["is_limit_reached"]

    for _ in range(3_000):
        events, more = await get(device)
        if len(events) == 26:
            break
        await pause(0.02)
    assert len(events) == 26 and not more, "all but those that sessions are named for"
    assert [event["args"][1] for event in events] == [number + 0.5 for number in range(25)] + [90.0]
    first = events[0]
    assert first["subscription"] == subscription.id and first["kwargs"] == {"unit": "C"}, first
    assert first["details"]["topic"] == "com.home.temp.attic" and first["args"] == ["t0", 0.5], first
    ids = [event["publication"] for event in events]
    assert len(set(ids)) == 26

    # What was meant for devices is not for guests.
    events, _ = await get()
    assert [event["publication"] for event in events] == ids[:25]
    # An edge of a stretch is an event or a time, and belongs to it or not.
    for options, expected in [
        (dict(limit=3), ids[:3]),
        (dict(limit=3, reverse=True), ids[24:21:-1]),
        (dict(limit=3, after_publication=ids[2]), ids[3:6]),
        (dict(limit=2, reverse=True, before_publication=ids[10]), ids[9:7:-1]),
        (dict(from_publication=ids[20], until_publication=ids[22]), ids[20:23]),
        (dict(topic="com.home.temp.attic", after_publication=ids[5]), ids[10:25:5]),
        (dict(from_time=first["timestamp"], before_publication=ids[2]), ids[:2]),
        (dict(before_time=first["timestamp"]), []),
        (dict(from_time="2020-01-01T00:00:00Z", until_time="2020-01-02T00:00:00Z"), []),
        (dict(after_publication=4711), []),
    ]:
        found, more = await get(**options)
        assert [event["publication"] for event in found] == expected, (options, found)
        assert more == ("limit" in options), options
    events, _ = await get(of=exact)
    assert [event["publication"] for event in events] == ids[0:25:5]

    nowhere = await guest.subscribe(lambda: None, "com.home.other")
    await refused(guest.call(GET, nowhere.id), "wamp.error.history_unavailable", "no stream records")
    await leave(guest, device)


async def procedures():
    guest, device = await join(), await join("realm1", TICKET)
    warmest = await guest.call("com.home.warmest", "t0", least=20)
    assert warmest == [{"device": "t0", "temp": 91.0}, {"device": "t0", "temp": 90.0}], warmest
    assert await guest.call("com.home.warmest", "nobody", least=20) == []
    await refused(guest.call("com.home.warmest", "t0"), "wamp.error.invalid_argument", "$least is not given")
    await refused(guest.call("com.home.warmest", "t0", 1, least=1), "wamp.error.invalid_argument", "no parameter $2")
    await refused(guest.call("com.home.warmest", ["t0"], least=1), "wamp.error.invalid_argument", "single values")
    await refused(guest.call("com.home.broken"), "wamp.error.runtime_error", "nowhere")
    # Nothing that is said in an argument is SQL.
    assert await guest.call("com.home.warmest", "' OR 1 = 1 --", least=0) == []

    try:
        await guest.call("com.home.all")
        raise AssertionError("there are too many rows for one result")
    except PayloadExceededError as error:
        assert "more than 10 rows" in str(error), error
    parts = []
    rest = await guest.call("com.home.all", options=CallOptions(on_progress=parts.append))
    assert [len(part) for part in parts] == [10, 10] and len(rest) == 7, (parts, rest)
    assert [row["temp"] for part in [*parts, rest] for row in part] == [number + 0.5 for number in range(25)] + [90, 91]

    await refused(guest.call("com.home.secret"), "wamp.error.not_authorized")
    assert await device.call("com.home.secret") == [{"answer": 42}]
    assert await guest.call("wamp.registration.match", "com.home.all") is not None
    await leave(guest, device)


async def leave(*sessions):
    for session in sessions:
        session.leave()
        await session.left


async def scenario():
    if sys.argv[4] == "fill":
        await fill()
    await past()
    await procedures()


play(scenario)
