"""A day, five hours and a month of Glacier in seconds: an unmodified boto3
against a server in test mode, whose clock moves by HTTP.

usage: testmode.py BINARY

It starts a server of its own on an ephemeral data directory and needs nothing
from the environment."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

MIB = 1 << 20
WAIT = 60  # seconds, before something is taken for stuck
VAULT = "patience"


class Server:
    """A server in test mode on an ephemeral directory, at addresses it chose."""

    def __init__(self, binary, tmp):
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("MORAINE_", "AWS_"))}
        self.key = {
            "aws_access_key_id": "AKIAMORAINETEST00003",
            "aws_secret_access_key": "moraine/testmode/secret+key/012345678901",
        }
        keep |= {
            "TMPDIR": tmp,
            "MORAINE_ROOT_ACCESS_KEY_ID": self.key["aws_access_key_id"],
            "MORAINE_ROOT_SECRET_ACCESS_KEY": self.key["aws_secret_access_key"],
        }
        command = [binary, "serve", "--test-mode", "--ephemeral", "--job-delay", "bulk=5h"]
        command += ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-level", "error"]
        self.process = subprocess.Popen(command, env=keep, stdout=subprocess.PIPE, text=True)
        text = ""
        while "Try it" not in text:
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"testmode.py: the server does not start; it said: {text}")
            text += line
        assert "TEST MODE" in text, text
        self.endpoint = re.search(r" on (http://\S+)$", text, re.M)[1]
        self.admin = re.search(r"health are on (http://\S+)$", text, re.M)[1]

    def client(self, attempts=1):
        return boto3.client(
            "glacier", region_name="us-east-1", endpoint_url=self.endpoint, **self.key,
            config=Config(retries={"mode": "standard", "total_max_attempts": attempts}),
        )

    def test(self, lever, **body):
        request = urllib.request.Request(f"{self.admin}/test/{lever}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def advance(self, by):
        now = self.test("clock", advance=by)
        print(f"testmode.py: {by} later it is {now['now']}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()


def refused(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as e:
        got = e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
        assert got == (code, status), e
        return e
    raise AssertionError(f"{call.__name__} was not refused with {code}")


def ended(client, job):
    """Waits in real time for what a move of the clock set off."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        state = client.describe_job(vaultName=VAULT, jobId=job)
        if state["Completed"] or state["StatusCode"] == "Failed":
            return state
        time.sleep(0.02)
    sys.exit(f"testmode.py: job {job} does not end")


def retrieve(client, archive, tier):
    parameters = {"Type": "archive-retrieval", "ArchiveId": archive, "Tier": tier}
    return client.initiate_job(vaultName=VAULT, jobParameters=parameters)["jobId"]


def wait_five_hours(server, client, archive, content):
    job = retrieve(client, archive, "Bulk")
    assert not client.describe_job(vaultName=VAULT, jobId=job)["Completed"]
    server.advance("4h59m")
    assert client.describe_job(vaultName=VAULT, jobId=job)["StatusCode"] == "InProgress"
    refused("InvalidParameterValueException", 400, client.get_job_output, vaultName=VAULT, jobId=job)
    server.advance("1m")
    assert ended(client, job)["StatusCode"] == "Succeeded"
    assert client.get_job_output(vaultName=VAULT, jobId=job)["body"].read() == content
    return job


def wait_a_day(server, client, job):
    upload = client.initiate_multipart_upload(vaultName=VAULT, partSize=str(MIB))["uploadId"]
    part = {"vaultName": VAULT, "uploadId": upload, "range": f"bytes 0-{MIB - 1}/*"}
    client.upload_multipart_part(**part, body=bytes(MIB))
    server.advance("23h59m")
    client.get_job_output(vaultName=VAULT, jobId=job)["body"].read()
    assert len(client.list_parts(vaultName=VAULT, uploadId=upload)["Parts"]) == 1
    server.advance("2m")
    refused("ResourceNotFoundException", 404, client.get_job_output, vaultName=VAULT, jobId=job)
    refused("ResourceNotFoundException", 404, client.list_parts, vaultName=VAULT, uploadId=upload)
    refused("ResourceNotFoundException", 404, client.upload_multipart_part, **part, body=io.BytesIO(bytes(MIB)))
    assert client.list_multipart_uploads(vaultName=VAULT)["UploadsList"] == []


def wait_a_month(server, client):
    client.purchase_provisioned_capacity()
    server.advance("671h")  # an hour short of 28 days; no month is shorter
    assert len(client.list_provisioned_capacity()["ProvisionedCapacityList"]) == 1
    server.advance("74h")
    assert client.list_provisioned_capacity()["ProvisionedCapacityList"] == []


def lock_timeout(server, client):
    """A vault lock that is not completed within 24 hours is gone."""
    policy = {"Version": "2012-10-17", "Statement": []}
    arn = client.describe_vault(vaultName=VAULT)["VaultARN"]
    policy["Statement"].append({
        "Sid": "keep", "Effect": "Deny", "Principal": "*", "Action": "glacier:DeleteArchive", "Resource": arn,
        "Condition": {"NumericLessThan": {"glacier:ArchiveAgeInDays": "365"}},
    })
    client.initiate_vault_lock(vaultName=VAULT, policy={"Policy": json.dumps(policy)})
    assert client.get_vault_lock(vaultName=VAULT)["State"] == "InProgress"
    server.advance("25h")
    refused("ResourceNotFoundException", 404, client.get_vault_lock, vaultName=VAULT)


def troubles(server, client, archive):
    """What a client should survive."""
    server.test("throttle", requests=1)
    refused("ThrottlingException", 400, client.list_vaults)
    server.test("throttle", requests=2)
    server.client(attempts=3).list_vaults()
    server.test("timeout-next-upload")
    refused("RequestTimeoutException", 408, client.upload_archive, vaultName=VAULT, body=bytes(MIB))
    server.test("job-delays", bulk="0s")
    server.test("fail-next-job")
    assert ended(client, retrieve(client, archive, "Bulk"))["StatusCode"] == "Failed"
    server.test("scarce-expedited", on=True)
    refused("InsufficientCapacityException", 503, retrieve, client=client, archive=archive, tier="Expedited")
    server.test("scarce-expedited", on=False)
    assert ended(client, retrieve(client, archive, "Expedited"))["StatusCode"] == "Succeeded"
    try:
        server.test("clock", advance="-1h")
    except urllib.error.HTTPError as e:
        assert e.code == 400 and "only moves forward" in e.read().decode()
    else:
        raise AssertionError("the clock went back")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as tmp:
        server = Server(os.path.abspath(sys.argv[1]), tmp)
        try:
            client, content = server.client(), os.urandom(MIB + 1)
            client.create_vault(vaultName=VAULT)
            archive = client.upload_archive(vaultName=VAULT, body=content)["archiveId"]
            job = wait_five_hours(server, client, archive, content)
            wait_a_day(server, client, job)
            wait_a_month(server, client)
            lock_timeout(server, client)
            troubles(server, client, archive)
        finally:
            status = server.stop()
        assert status == 0, f"the server ended with status {status}"
        assert os.listdir(tmp) == [], "the ephemeral directory was left behind"
    print(f"testmode.py: five weeks in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
