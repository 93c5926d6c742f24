"""A client that others wrote: boto3, told what to do line by line.

In:  {"service": "kinesis", "url": "http://..", "call": "put_records", "args": {..}}
Out: {"ok": answer} or {"error": code}

Bytes come out as text. An argument {"$aggregate": [[key, explicit hash key or null, text], ..]} becomes the data of one record that
the aggregator for the Kinesis Producer Library makes.
"""

import json
import sys

import aws_kinesis_agg.aggregator
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


def prepare(value):
    if isinstance(value, dict):
        if "$aggregate" in value:
            return aggregate(value["$aggregate"])
        return {name: prepare(part) for name, part in value.items()}
    if isinstance(value, list):
        return [prepare(part) for part in value]
    return value


def show(value):
    return value.decode() if isinstance(value, bytes) else str(value)


for line in sys.stdin:
    ask = json.loads(line)
    try:
        answer = getattr(client(ask["service"], ask["url"]), ask["call"])(**prepare(ask["args"]))
        answer.pop("ResponseMetadata", None)
        said = {"ok": answer}
    except ClientError as error:
        said = {"error": error.response["Error"]["Code"]}
    print(json.dumps(said, default=show), flush=True)
