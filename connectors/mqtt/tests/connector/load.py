"""Publishes numbers with QoS 1, and goes on through whatever becomes of the broker.

    python load.py PORT COUNT
"""

import json
import sys
import time

import paho.mqtt.client as mqtt

PORT, COUNT = int(sys.argv[1]), int(sys.argv[2])

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="load", clean_session=False)
client.max_queued_messages_set(0)
client.reconnect_delay_set(min_delay=1, max_delay=1)
client.connect("127.0.0.1", PORT)
client.loop_start()
acknowledged = set()
client.on_publish = lambda _, __, number, ___, ____: acknowledged.add(number)
published = set()
for number in range(COUNT):
    # Without a connection it is kept, and sent when there is one.
    published.add(client.publish("events/a", json.dumps({"n": number, "text": f"row {number}"}), qos=1).mid)
    time.sleep(0.001)
for _ in range(1_800):
    if published <= acknowledged:
        break
    time.sleep(0.1)
assert published <= acknowledged, len(published - acknowledged)
client.disconnect()
client.loop_stop()
