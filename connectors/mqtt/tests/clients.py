"""Paho as a client of a broker: what the specification promises to a client, in both versions.

    python clients.py PORT TRANSPORT VERSION NAME PASSWORD      TRANSPORT is tcp or websockets, VERSION 3 or 5

Prints `ok` at the end; otherwise it fails with what it waited for.
"""

import json
import queue
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PORT, TRANSPORT, VERSION, NAME, PASSWORD = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]
PROTOCOL = {3: mqtt.MQTTv311, 5: mqtt.MQTTv5}[VERSION]


class Client:
    """A client whose messages are kept in a queue."""

    def __init__(self, client_id, lasting=False, will=None, password=PASSWORD):
        clean = {} if VERSION == 5 else {"clean_session": not lasting}
        self.inner = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=PROTOCOL, transport=TRANSPORT, **clean
        )
        self.inner.username_pw_set(NAME, password)
        self.messages, self.answers = queue.Queue(), queue.Queue()
        self.inner.on_message = lambda _, __, message: self.messages.put(message)
        self.inner.on_connect = lambda _, __, flags, reason, ___: self.answers.put((flags.session_present, reason))
        self.inner.on_subscribe = lambda _, __, ___, reasons, ____: self.answers.put(reasons)
        self.inner.on_unsubscribe = lambda *_: self.answers.put("unsubscribed")
        if will:
            self.inner.will_set(*will)
        arguments = {}
        if VERSION == 5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 300 if lasting else 0
            arguments = {"clean_start": not lasting, "properties": properties}
        self.inner.connect("127.0.0.1", PORT, keepalive=60, **arguments)
        self.inner.loop_start()
        self.session_present, self.reason = self.answers.get(timeout=60)

    def subscribe(self, *arguments, **named):
        self.inner.subscribe(*arguments, **named)
        reasons = self.answers.get(timeout=60)
        assert not any(reason.is_failure for reason in reasons), reasons
        return self

    def publish(self, *arguments, **named):
        published = self.inner.publish(*arguments, **named)
        published.wait_for_publish(60)
        assert published.is_published(), arguments
        return self

    def hear(self, count):
        return [self.messages.get(timeout=60) for _ in range(count)]

    def hear_nothing(self):
        time.sleep(0.3)
        assert self.messages.empty(), self.messages.get().payload

    def leave(self):
        self.inner.disconnect()
        self.inner.loop_stop()

    def vanish(self):
        """Is gone without a word."""
        self.inner.loop_stop()
        self.inner.socket().close()


def messages_of_all_certainties():
    one, other = Client("one"), Client("other")
    one.subscribe([("plant/+/temp", 2), ("all/#", 1)])
    for qos in (0, 1, 2):
        other.publish(f"plant/t{qos}/temp", f"{qos}.5", qos=qos)
        other.publish("plant/t/humidity", "not this", qos=qos)
    other.publish("all/of/it", b"\x00\xff", qos=2).publish("all", "", qos=0)
    heard = {(message.topic, bytes(message.payload), message.qos) for message in one.hear(5)}
    assert heard == {
        ("plant/t0/temp", b"0.5", 0), ("plant/t1/temp", b"1.5", 1), ("plant/t2/temp", b"2.5", 2),
        ("all/of/it", b"\x00\xff", 1), ("all", b"", 0),
    }, heard
    one.hear_nothing()
    for number in range(2_000):
        other.inner.publish("all/many", str(number), qos=1 + number % 2)
    numbers = [int(message.payload) for message in one.hear(2_000)]
    assert sorted(numbers) == list(range(2_000))
    big = bytes(range(256)) * 2_000
    other.publish("all/big", big, qos=1)
    assert bytes(one.hear(1)[0].payload) == big
    one.inner.unsubscribe("all/#")
    assert one.answers.get(timeout=60) == "unsubscribed"
    other.publish("all/gone", "x", qos=1)
    one.hear_nothing()
    one.leave(), other.leave()


def retained_messages():
    publisher = Client("publisher")
    publisher.publish("kept/a", "1", qos=1, retain=True).publish("kept/b", "2", qos=1, retain=True)
    publisher.publish("kept/a", "3", qos=1, retain=True).publish("kept/b", "", qos=1, retain=True)
    late = Client("late").subscribe("kept/#", qos=1)
    [message] = late.hear(1)
    assert (message.topic, message.payload, message.retain) == ("kept/a", b"3", True)
    publisher.publish("kept/a", "4", qos=1, retain=True)
    assert not late.hear(1)[0].retain
    publisher.publish("kept/a", "", retain=True)
    publisher.leave(), late.leave()


def wills():
    watcher = Client("watcher").subscribe("gone/+", qos=1)
    Client("mortal", will=("gone/mortal", "bye", 1, False)).vanish()
    assert watcher.hear(1)[0].payload == b"bye"
    Client("polite", will=("gone/polite", "bye", 1, False)).leave()
    watcher.hear_nothing()
    watcher.leave()


def sessions():
    one = Client("sleeper", lasting=True).subscribe("night/#", qos=2)
    assert not one.session_present
    one.leave()
    other = Client("awake")
    other.publish("night/x", "lost", qos=0)
    for number in range(50):
        other.publish("night/x", str(number), qos=1 + number % 2)
    one = Client("sleeper", lasting=True)
    assert one.session_present
    heard = [int(message.payload) for message in one.hear(50)]
    # Paho shows a message of QoS 2 when it is released, so those of QoS 1 may overtake it.
    for qos in (1, 2):
        assert [number for number in heard if number % 2 == qos - 1] == [*range(qos - 1, 50, 2)], heard
    one.hear_nothing()
    one.leave()
    fresh = Client("sleeper")
    assert not fresh.session_present
    other.publish("night/x", "gone", qos=1)
    fresh.hear_nothing()
    fresh.leave(), other.leave()


def shared_subscriptions():
    members = [Client(f"member{number}").subscribe("$share/group/jobs/#", qos=1) for number in range(3)]
    publisher = Client("publisher")
    for number in range(30):
        publisher.publish("jobs/x", str(number), qos=1)
    deadline = time.monotonic() + 60
    while sum(member.messages.qsize() for member in members) < 30 and time.monotonic() < deadline:
        time.sleep(0.02)
    shares = [[int(member.messages.get().payload) for _ in range(member.messages.qsize())] for member in members]
    assert sorted(sum(shares, [])) == list(range(30)) and all(len(share) == 10 for share in shares), shares
    publisher.leave()
    for member in members:
        member.leave()


def passwords():
    refused = Client("stranger", password="wrong")
    assert refused.reason.is_failure, refused.reason
    refused.inner.loop_stop()


def what_only_version_5_has():
    one, other = Client("one"), Client("other")
    identified = Properties(PacketTypes.SUBSCRIBE)
    identified.SubscriptionIdentifier = 77
    one.subscribe("five/#", options=SubscribeOptions(qos=1, noLocal=True), properties=identified)
    said = Properties(PacketTypes.PUBLISH)
    said.UserProperty = [("a", "b"), ("a", "c")]
    said.ContentType, said.ResponseTopic, said.CorrelationData = "text/plain", "five/answers", b"\x07"
    said.MessageExpiryInterval, said.TopicAlias = 100, 3
    other.publish("five/x", "p", qos=1, properties=said)
    aliased = Properties(PacketTypes.PUBLISH)
    aliased.TopicAlias = 3
    other.publish("", "q", qos=1, properties=aliased)
    one.publish("five/own", "r", qos=1)
    first, second = one.hear(2)
    heard = first.properties
    assert heard.UserProperty == [("a", "b"), ("a", "c")] and heard.ContentType == "text/plain"
    assert heard.ResponseTopic == "five/answers" and heard.CorrelationData == b"\x07"
    assert heard.SubscriptionIdentifier == [77] and 0 < heard.MessageExpiryInterval <= 100
    assert (second.topic, second.payload) == ("five/x", b"q")
    one.hear_nothing()
    nameless = Client("")
    assert not nameless.reason.is_failure
    nameless.leave(), one.leave(), other.leave()


def long_messages():
    # Longer than what is read, written and framed at a time.
    reader, writer = Client("reader").subscribe("long", qos=1), Client("writer")
    payloads = [bytes([byte]) * length for byte, length in enumerate((125, 126, 65_535, 65_536, 200_000))]
    for payload in payloads:
        writer.publish("long", payload, qos=1)
    assert [message.payload for message in reader.hear(len(payloads))] == payloads
    reader.leave(), writer.leave()


def many_at_once():
    """A load that ends by itself: 20 clients, 200 messages each, all heard by one."""
    hearer = Client("hearer").subscribe("load/#", qos=1)
    clients = [Client(f"load{number}") for number in range(20)]
    for turn in range(200):
        for number, client in enumerate(clients):
            client.inner.publish(f"load/{number}", json.dumps({"turn": turn}), qos=1)
    turns = {}
    for message in hearer.hear(4_000):
        turns.setdefault(message.topic, []).append(json.loads(message.payload)["turn"])
    assert len(turns) == 20 and all(heard == list(range(200)) for heard in turns.values()), "order is lost"
    for client in clients + [hearer]:
        client.leave()


messages_of_all_certainties()
retained_messages()
wills()
sessions()
shared_subscriptions()
passwords()
if VERSION == 5:
    what_only_version_5_has()
long_messages()
many_at_once()
print("ok")
