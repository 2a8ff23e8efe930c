"""A device with paho and MQTT 5: runs one job and prints ok when all went as it should.

usage: paho_device.py FOLDER HOST PORT JOB [ALPN]     FOLDER is one made by enroll
"""

import json
import os
import queue
import ssl
import sys

import paho.mqtt.client as mqtt

folder, host, port, job, alpn = (sys.argv[1:] + [""])[:5]
thing = os.path.basename(folder)
jobs = "$aws/things/%s/jobs/" % thing
events = queue.Queue()

client = mqtt.Client(client_id=thing, protocol=mqtt.MQTTv5)
context = ssl.create_default_context(cafile=os.path.join(folder, "ca.pem"))
context.load_cert_chain(os.path.join(folder, "device.pem.crt"), os.path.join(folder, "device.key"))
if alpn:
    context.set_alpn_protocols([alpn])
client.tls_set_context(context)
client.on_connect = lambda c, u, flags, reason, properties: events.put(("connected", reason.value))
client.on_subscribe = lambda c, u, mid, reasons, properties: events.put(("subscribed", [r.value for r in reasons]))
client.on_message = lambda c, u, m: events.put((m.topic, json.loads(m.payload)))

seen = []


def wait(kind, want=lambda value: True):
    """The next event of a kind; those before it are in seen."""
    while True:
        got, value = events.get(timeout=30)
        seen.append((got, value))
        if got == kind and want(value):
            return value
        assert not got.endswith("/rejected"), (got, value)


def request(op, **members):
    client.publish(jobs + op, json.dumps(members), qos=1)
    token = members["clientToken"]
    return wait(jobs + op + "/accepted", lambda reply: reply.get("clientToken") == token)


client.connect(host, int(port), keepalive=60)
client.loop_start()
assert wait("connected") == 0
client.subscribe(jobs + "notify-next", qos=1)
assert wait("subscribed") == [1]
print("ready", flush=True)

execution = wait(jobs + "notify-next", lambda n: "execution" in n)["execution"]
assert execution["jobId"] == job and execution["status"] == "QUEUED", execution
assert execution["jobDocument"] == {"op": "hello"}, execution

# Nobody subscribed to the reply: it comes all the same.
started = request("start-next", clientToken="t1")["execution"]
assert started["jobId"] == job and started["status"] == "IN_PROGRESS" and started["versionNumber"] == 2, started

# Two filters match the reply: it comes once. What the next request is answered comes
# after anything that the first one could still bring.
client.subscribe([(jobs + "#", 1), (jobs + "+/update/accepted", 1)])
assert wait("subscribed") == [1, 1]
request(job + "/update", clientToken="t2", status="IN_PROGRESS", statusDetails={"step": "flash"}, expectedVersion=2)
pending = request("get", clientToken="t3")
assert [e["jobId"] for e in pending["inProgressJobs"]] == [job] and pending["queuedJobs"] == [], pending
replies = [v for topic, v in seen if isinstance(v, dict) and v.get("clientToken") == "t2"]
assert len(replies) == 1, replies

request(job + "/update", clientToken="t4", status="SUCCEEDED", statusDetails={"step": "done"})
wait(jobs + "notify-next", lambda n: "execution" not in n)
client.disconnect()
client.loop_stop()
print("ok", flush=True)
