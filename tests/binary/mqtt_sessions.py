"""A dashboard and a device over MQTT, by Paho: what is published while the dashboard is away waits for it, whatever becomes of the broker.

    python mqtt_sessions.py PORT tcp|websockets VERSION before|after

Prints `ok` at the end; otherwise it fails with what it waited for.
"""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT, TRANSPORT, VERSION = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
PROTOCOL = {3: mqtt.MQTTv311, 5: mqtt.MQTTv5}[VERSION]
MESSAGES = [(f"plant/{number % 7}", str(number), 1 + number % 2) for number in range(100)]


class Client:
    def __init__(self, client_id, lasting=False):
        clean = {} if VERSION == 5 else {"clean_session": not lasting}
        self.inner = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=PROTOCOL, transport=TRANSPORT, **clean
        )
        self.messages, self.answers = queue.Queue(), queue.Queue()
        self.inner.on_message = lambda _, __, message: self.messages.put(message)
        self.inner.on_connect = lambda _, __, flags, reason, ___: self.answers.put(flags.session_present)
        self.inner.on_subscribe = lambda _, __, ___, reasons, ____: self.answers.put(reasons)
        arguments = {}
        if VERSION == 5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 300 if lasting else 0
            arguments = {"clean_start": not lasting, "properties": properties}
        self.inner.connect("127.0.0.1", PORT, **arguments)
        self.inner.loop_start()
        self.session_present = self.answers.get(timeout=60)

    def subscribe(self, topic, qos):
        self.inner.subscribe(topic, qos)
        assert not any(reason.is_failure for reason in self.answers.get(timeout=60)), topic
        return self

    def leave(self):
        self.inner.disconnect()
        self.inner.loop_stop()


def before():
    dashboard = Client("dashboard", lasting=True)
    assert not dashboard.session_present
    dashboard.subscribe("plant/#", 2).leave()
    device = Client("device")
    under_way = [device.inner.publish(topic, payload, qos) for topic, payload, qos in MESSAGES]
    under_way.append(device.inner.publish("state/door", "open", 1, retain=True))
    for published in under_way:
        published.wait_for_publish(60)
        assert published.is_published()
    # The broker is killed while both are connected or gone, as it happens.
    print("ok", flush=True)


def after():
    dashboard = Client("dashboard", lasting=True)
    assert dashboard.session_present
    heard = [dashboard.messages.get(timeout=60) for _ in MESSAGES]
    heard = [(message.topic, message.payload.decode(), message.qos) for message in heard]
    # Paho hands out a message of QoS 2 when it is released, and so later.
    for qos in (1, 2):
        assert [one for one in heard if one[2] == qos] == [one for one in MESSAGES if one[2] == qos], heard
    assert dashboard.messages.empty()
    other = Client("other").subscribe("state/+", 1)
    message = other.messages.get(timeout=60)
    assert (message.topic, message.payload, message.retain) == ("state/door", b"open", True)
    # The broker tells about itself.
    other.subscribe("$SYS/broker/#", 0)
    told = {}
    while told.get("$SYS/broker/clients/connected") != b"2":
        message = other.messages.get(timeout=60)
        told[message.topic] = message.payload
    assert b"seconds" in told["$SYS/broker/uptime"], told
    dashboard.leave(), other.leave()
    # A session that is begun anew has nothing.
    Client("dashboard").leave()
    print("ok", flush=True)


{"before": before, "after": after}[sys.argv[4]]()
