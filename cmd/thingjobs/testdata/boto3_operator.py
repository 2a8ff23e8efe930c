"""An operator's program with boto3. Prints ok when all went as it should.

Its environment is that of a shell which evaluated `thingjobs env`.
"""

import os

import boto3
from botocore.exceptions import ClientError

iot = boto3.client("iot", endpoint_url=os.environ["AWS_ENDPOINT_URL_IOT"])

group = iot.create_thing_group(thingGroupName="pumps")["thingGroupArn"]
for name in ("pump-1", "pump-2"):
    iot.create_thing(thingName=name)
    iot.add_thing_to_thing_group(thingGroupName="pumps", thingName=name)

for n in range(5):
    iot.create_job(jobId="boto-%d" % n, targets=[group], document='{"op":"hello"}')
jobs = [j["jobId"] for page in iot.get_paginator("list_jobs").paginate(PaginationConfig={"PageSize": 2}) for j in page["jobs"]]
assert jobs == ["boto-4", "boto-3", "boto-2", "boto-1", "boto-0"], jobs

job = iot.describe_job(jobId="boto-0")["job"]
assert job["status"] == "IN_PROGRESS" and job["createdAt"].year >= 2025, job
assert iot.get_job_document(jobId="boto-0")["document"] == '{"op":"hello"}'

try:
    iot.describe_job(jobId="nobody")
    raise SystemExit("an unknown job was described")
except iot.exceptions.ResourceNotFoundException as e:
    assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 404

try:
    iot.create_job(jobId="bad", targets=[group], document="{")
    raise SystemExit("a malformed document was taken")
except iot.exceptions.InvalidRequestException as e:
    assert "ocument" in e.response["Error"]["Message"], e

try:
    iot.list_authorizers()
    raise SystemExit("an operation that is not built was answered")
except ClientError as e:
    assert e.response["Error"]["Code"] == "UnknownOperationException", e

assert iot.cancel_job(jobId="boto-0")["jobId"] == "boto-0"
print("ok")
