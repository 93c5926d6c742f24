"""A client that others wrote: boto3, told what to do line by line.

In:  {"service": "kinesis", "url": "http://..", "call": "put_records", "args": {..}}
Out: {"ok": answer} or {"error": code}

Bytes come out as text, and go in as {"$bytes": base64}. An argument {"$aggregate": [[key, explicit hash key or null, text], ..]} becomes the data of one record that
the aggregator for the Kinesis Producer Library makes. With an argument "$deaggregate", a shard's range of hash keys, each record of the
answer becomes the list of records that the deaggregator finds in it; of those in another range none is kept, as its consumers do.
"""

import base64
import hashlib
import json
import sys

import aws_kinesis_agg.aggregator
import aws_kinesis_agg.deaggregator
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

clients = {}


def client(service, url):
    if (service, url) not in clients:
        clients[service, url] = boto3.client(
            service,
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 5}),
        )
    return clients[service, url]


def aggregate(records):
    aggregator = aws_kinesis_agg.aggregator.RecordAggregator()
    for key, explicit, text in records:
        aggregator.add_user_record(key, text.encode(), explicit)
    return aggregator.clear_and_get().get_contents()[2]


def deaggregate(record, keys):
    """The user records of a record, in the form that Lambda functions get them."""
    data = base64.b64encode(record["Data"]).decode()
    outer = {"data": data, "partitionKey": record["PartitionKey"], "sequenceNumber": record["SequenceNumber"]}
    outer = {"kinesis": {"kinesisSchemaVersion": "1.0", "approximateArrivalTimestamp": 0, **outer}}
    users = []
    for user in aws_kinesis_agg.deaggregator.deaggregate_records([outer]):
        user = user["kinesis"]
        explicit = user.get("explicitHashKey")
        hashed = int(explicit) if explicit else int(hashlib.md5(user["partitionKey"].encode()).hexdigest(), 16)
        is_ours = int(keys["StartingHashKey"]) <= hashed <= int(keys["EndingHashKey"])
        if is_ours or not user.get("aggregated", True):
            users.append({"PartitionKey": user["partitionKey"], "Data": base64.b64decode(user["data"])})
    return users


def prepare(value):
    if isinstance(value, dict):
        if "$aggregate" in value:
            return aggregate(value["$aggregate"])
        if "$bytes" in value:
            return base64.b64decode(value["$bytes"])
        return {name: prepare(part) for name, part in value.items()}
    if isinstance(value, list):
        return [prepare(part) for part in value]
    return value


def show(value):
    return value.decode() if isinstance(value, bytes) else str(value)


for line in sys.stdin:
    ask = json.loads(line)
    try:
        keys = ask["args"].pop("$deaggregate", None)
        answer = getattr(client(ask["service"], ask["url"]), ask["call"])(**prepare(ask["args"]))
        answer.pop("ResponseMetadata", None)
        if keys:
            answer["Records"] = [deaggregate(record, keys) for record in answer["Records"]]
        said = {"ok": answer}
    except ClientError as error:
        said = {"error": error.response["Error"]["Code"]}
    print(json.dumps(said, default=show), flush=True)
