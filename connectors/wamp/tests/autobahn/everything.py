"""What an application does with a router, said by Autobahn."""

from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions

from framework import join, pause, play, until

PAYLOAD = [1, -1, 0.25, True, None, "Grüße ☃", "\n\"quoted\"", [[], {}], {"deep": {"er": [1, 2, 3]}}, 2**53]


async def refused(coroutine, uri):
    try:
        await coroutine
    except ApplicationError as error:
        assert error.error == uri, error
        return error
    raise AssertionError(f"this was to end in {uri}")


async def publish_and_subscribe():
    a, b = await join(), await join()
    heard = []

    def hear(*args, details=None, **kwargs):
        heard.append((args, kwargs, details))

    with_details = dict(details_arg="details")
    exact = await b.subscribe(hear, "com.topic.one", SubscribeOptions(**with_details))
    published = await a.publish("com.topic.one", *PAYLOAD, options=PublishOptions(acknowledge=True), color="orange")
    await until(lambda: heard, "an event")
    args, kwargs, details = heard.pop()
    assert list(args) == PAYLOAD and kwargs == {"color": "orange"}, (args, kwargs)
    assert details.publication == published.id and details.publisher is None

    # Autobahn cannot ask for disclosure; the realm's role discloses whatever is disclosed by its name.
    await b.subscribe(hear, "com.disclosed.topic", SubscribeOptions(**with_details))
    a.publish("com.disclosed.topic", b"\x00\xff bytes")
    await until(lambda: heard, "an event with its publisher")
    args, kwargs, details = heard.pop()
    assert args == (b"\x00\xff bytes",), args
    assert details.publisher == a.details.session and details.publisher_authrole == "anonymous"

    await b.subscribe(hear, "com.topic.", SubscribeOptions(match="prefix", **with_details))
    await b.subscribe(hear, "com..one", SubscribeOptions(match="wildcard", **with_details))
    await a.publish("com.topic.one", 1, options=PublishOptions(acknowledge=True))
    await until(lambda: len(heard) == 3, "one event for each subscription")
    assert sorted(str(details.topic) for _, _, details in heard) == ["com.topic.one"] * 3
    heard.clear()

    await a.publish("com.topic.one", options=PublishOptions(acknowledge=True, exclude=b.details.session))
    await a.publish("com.topic.one", options=PublishOptions(acknowledge=True, eligible=[a.details.session]))
    await a.publish("com.topic.one", options=PublishOptions(acknowledge=True, exclude_authrole="anonymous"))
    await b.publish("com.topic.one", options=PublishOptions(acknowledge=True))
    await pause(0.1)
    assert not heard, "excluded, not eligible, its own"
    await b.publish("com.topic.one", options=PublishOptions(acknowledge=True, exclude_me=False))
    await until(lambda: len(heard) == 3, "its own events, where it wants them")
    heard.clear()

    await exact.unsubscribe()
    a.publish("com.topic.one")
    await until(lambda: len(heard) == 2, "no event of the subscription that ended")
    heard.clear()

    for number in range(500):
        a.publish(f"com.topic.{number % 7}", number)
    await until(lambda: len(heard) == 500, "all events")
    assert [args[0] for args, _, _ in heard] == list(range(500)), "in order"
    heard.clear()

    await a.publish("com.kept", "old", options=PublishOptions(acknowledge=True, retain=True))
    await a.publish("com.kept", "new", options=PublishOptions(acknowledge=True, retain=True))
    await b.subscribe(hear, "com.kept", SubscribeOptions(get_retained=True, **with_details))
    await until(lambda: heard, "the retained event")
    args, _, details = heard.pop()
    assert args == ("new",) and details.retained, (args, details)

    await refused(a.publish("wamp.topic", options=PublishOptions(acknowledge=True)), "wamp.error.invalid_uri")
    await leave(a, b)


async def call_and_register():
    a, b = await join(), await join()

    def add(x, y=0, details=None):
        return x + y

    def fail():
        raise ApplicationError("com.error.custom", "no", 7, reason="because")

    async def count(to, details=None):
        for number in range(to):
            details.progress(number, extra=number * 2)
            await pause(0.01)
        return "counted"

    never = []

    async def sleep(seconds):
        try:
            await pause(seconds)
        finally:
            never.append("woke up")

    def echo(*args, **kwargs):
        from autobahn.wamp.types import CallResult

        return CallResult(*args, **kwargs)

    def who(details=None):
        return [details.caller, details.caller_authrole, details.procedure]

    registration = await b.register(add, "com.add")
    await b.register(fail, "com.fail")
    await b.register(count, "com.count", RegisterOptions(details_arg="details"))
    await b.register(sleep, "com.sleep")
    await b.register(echo, "com.echo")
    await b.register(who, "com.disclosed.who", RegisterOptions(match="prefix", details_arg="details"))

    assert await a.call("com.add", 2, y=3) == 5
    result = await a.call("com.echo", *PAYLOAD, blob=b"\x00\x01", name="Ü")
    assert list(result.results) == PAYLOAD and result.kwresults == {"blob": b"\x00\x01", "name": "Ü"}, result

    error = await refused(a.call("com.fail"), "com.error.custom")
    assert error.args == ("no", 7) and error.kwargs == {"reason": "because"}, error
    await refused(a.call("com.nothing"), "wamp.error.no_such_procedure")
    await refused(a.register(add, "com.add"), "wamp.error.procedure_already_exists")

    seen = []
    progress = CallOptions(on_progress=lambda *args, **kwargs: seen.append((args, kwargs)))
    assert await a.call("com.count", 5, options=progress) == "counted"
    assert seen == [((n,), {"extra": 2 * n}) for n in range(5)], seen

    await refused(a.call("com.sleep", 5, options=CallOptions(timeout=100)), "wamp.error.timeout")

    # A prefix registration brings the procedure, disclosure the caller.
    told = await a.call("com.disclosed.who.is.it")
    assert told == [a.details.session, "anonymous", "com.disclosed.who.is.it"], told

    pending = [a.call("com.add", n, y=n) for n in range(200)]
    assert [await one for one in pending] == [2 * n for n in range(200)]

    await registration.unregister()
    await refused(a.call("com.add", 1), "wamp.error.no_such_procedure")
    await leave(a, b)


async def share():
    a = await join()
    callees = [await join() for _ in range(3)]
    for policy, expected in [("roundrobin", [0, 1, 2, 0]), ("first", [0] * 4), ("last", [2] * 4)]:
        for number, callee in enumerate(callees):
            await callee.register(lambda number=number: number, f"com.{policy}", RegisterOptions(invoke=policy))
        assert [await a.call(f"com.{policy}") for _ in range(4)] == expected, policy
    for number, callee in enumerate(callees):
        await callee.register(lambda number=number: number, "com.random", RegisterOptions(invoke="random"))
    assert {await a.call("com.random") for _ in range(60)} == {0, 1, 2}
    await leave(a, *callees)


async def meta():
    a = await join()
    came, went, last = [], [], []
    await a.subscribe(came.append, "wamp.session.on_join")
    await a.subscribe(lambda *args: went.append(args), "wamp.session.on_leave")
    await a.subscribe(lambda *args, **kwargs: last.append((args, kwargs)), "com.last")
    before = await a.call("wamp.session.count")
    b = await join()
    session = b.details.session
    await until(lambda: came, "on_join")
    assert came[0]["session"] == session and came[0]["authrole"] == "anonymous"
    assert await a.call("wamp.session.count") == before + 1
    assert session in await a.call("wamp.session.list")
    assert (await a.call("wamp.session.get", session))["session"] == session

    await b.call("wamp.session.add_testament", "com.last", ["gone"], {"who": "b"})
    registration = await b.register(lambda: 1, "com.procedure")
    assert await a.call("wamp.registration.lookup", "com.procedure") == registration.id
    assert await a.call("wamp.registration.list_callees", registration.id) == [session]
    assert (await a.call("wamp.registration.get", registration.id))["uri"] == "com.procedure"
    subscription = await b.subscribe(lambda: None, "com.topic")
    assert await a.call("wamp.subscription.match", "com.topic") == [subscription.id]
    assert await a.call("wamp.subscription.list_subscribers", subscription.id) == [session]

    await a.call("wamp.session.kill", session, reason="com.reason", message="out you go")
    details = await b.left
    assert details.reason == "com.reason" and details.message == "out you go", details
    await until(lambda: went and last, "on_leave, and the testament")
    assert went[0][0] == session and last == [(("gone",), {"who": "b"})], (went, last)
    assert await a.call("wamp.session.count") == before
    await leave(a)


async def leave(*sessions):
    for session in sessions:
        session.leave()
        await session.left


async def scenario():
    await publish_and_subscribe()
    await call_and_register()
    await share()
    await meta()


play(scenario)
