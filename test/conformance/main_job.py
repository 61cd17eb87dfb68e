"""The main job, on real input: a file goes in by multipart upload through an
unmodified client, the server is killed in the middle and again after the end,
and the file comes back through a retrieval job with its tree hash proven.

usage: main_job.py BINARY [MEBIBYTES [PART_MEBIBYTES]]

It starts servers of its own on a temporary directory (TMPDIR chooses where)
and needs the usual AWS_* variables and the root identity in MORAINE_ROOT_*,
as run.sh sets them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3
from botocore.config import Config
from botocore.utils import calculate_tree_hash

MIB = 1 << 20
VAULT = "main-job"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server process on a directory, always at the same address."""

    def __init__(self, binary, data, log):
        self.command = [binary, "serve", "--data", data, "--admin-listen", "", "--log-level", "warn"]
        self.endpoint = f"http://127.0.0.1:{free_port()}"
        self.command += ["--listen", self.endpoint.removeprefix("http://")]
        self.log = open(log, "ab")
        self.start()

    def start(self):
        began = time.monotonic()
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)
        while True:
            try:
                urllib.request.urlopen(self.endpoint + "/healthz").close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - began > 60:
                    sys.exit(f"main_job.py: the server does not start; see {self.log.name}")
                time.sleep(0.02)
        print(f"main_job.py: ready after {time.monotonic() - began:.2f} s")

    def stop(self, how):
        self.process.send_signal(how)
        return self.process.wait()

    def kill(self):
        self.stop(signal.SIGKILL)
        self.start()

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(line.split()[1] for line in f if line.startswith("VmHWM"))


def write_source(path, size):
    with open(path, "wb") as f:
        while (left := size - f.tell()) > 0:
            f.write(os.urandom(min(left, 16 * MIB)))


def upload(client, server, source, size, part):
    """Uploads part after part; half way the server is killed and must still
    list every part it acknowledged."""
    upload_id = client.initiate_multipart_upload(vaultName=VAULT, partSize=str(part), archiveDescription="main job")["uploadId"]
    sent, killed = 0, False
    with open(source, "rb") as f:
        while sent < size:
            data = f.read(part)
            client.upload_multipart_part(
                vaultName=VAULT, uploadId=upload_id, range=f"bytes {sent}-{sent + len(data) - 1}/*", body=data
            )
            sent += len(data)
            if not killed and sent >= size // 2:
                killed = True
                server.kill()
                pages = client.get_paginator("list_parts").paginate(vaultName=VAULT, uploadId=upload_id)
                listed = [p["RangeInBytes"] for page in pages for p in page["Parts"]]
                if len(listed) != -(-sent // part):
                    sys.exit(f"main_job.py: {len(listed)} parts are listed after the kill, {-(-sent // part)} were acknowledged")
    return upload_id


def main():
    binary = sys.argv[1]
    size = int(sys.argv[2]) * MIB + 12345 if len(sys.argv) > 2 else 96 * MIB + 12345
    part = int(sys.argv[3]) * MIB if len(sys.argv) > 3 else 8 * MIB
    with tempfile.TemporaryDirectory() as work:
        source, copy = os.path.join(work, "source"), os.path.join(work, "copy")
        write_source(source, size)
        with open(source, "rb") as f:
            tree = calculate_tree_hash(f)
        server = Server(binary, os.path.join(work, "data"), os.path.join(work, "log"))
        client = boto3.client("glacier", endpoint_url=server.endpoint, config=Config(retries={"max_attempts": 5}))
        client.create_vault(vaultName=VAULT)

        began = time.monotonic()
        upload_id = upload(client, server, source, size, part)
        print(f"main_job.py: {size} bytes up in {time.monotonic() - began:.1f} s, hashing by the client included")
        began = time.monotonic()
        archive = client.complete_multipart_upload(
            vaultName=VAULT, uploadId=upload_id, archiveSize=str(size), checksum=tree
        )
        print(f"main_job.py: completed in {time.monotonic() - began:.3f} s")
        server.kill()

        job = client.initiate_job(
            vaultName=VAULT, jobParameters={"Type": "archive-retrieval", "ArchiveId": archive["archiveId"]}
        )["jobId"]
        began = time.monotonic()
        while not (state := client.describe_job(vaultName=VAULT, jobId=job))["Completed"]:
            time.sleep(0.05)
        print(f"main_job.py: job {state['StatusCode']} after {time.monotonic() - began:.1f} s")
        began = time.monotonic()
        output = client.get_job_output(vaultName=VAULT, jobId=job)
        with open(copy, "wb") as f:
            for chunk in output["body"].iter_chunks(MIB):
                f.write(chunk)
        print(f"main_job.py: {size} bytes down in {time.monotonic() - began:.1f} s")
        with open(copy, "rb") as f:
            proven = calculate_tree_hash(f)
        if not tree == proven == archive["checksum"] == output["checksum"]:
            sys.exit(f"main_job.py: tree hash {proven} came back, {tree} went in")
        print(f"main_job.py: tree hash {proven} proven, server peak memory {server.memory()} KiB")
        if code := server.stop(signal.SIGTERM):
            sys.exit(f"main_job.py: the server ended with status {code}")


main()
