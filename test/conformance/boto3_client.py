"""Drives a server with the boto3 client: all sixteen archive operations,
both waiters and all four paginators. It wants ENDPOINT, ACCOUNT and the usual
AWS_* variables; run.sh provides them. It ends at the first difference."""

import hashlib
import io
import json
import os
import sys
import time

import boto3
from botocore.exceptions import ClientError
from botocore.utils import calculate_tree_hash

ACCOUNT = os.environ["ACCOUNT"]
REGION = os.environ["AWS_DEFAULT_REGION"]
VAULT = "boto3-client"
MIB = 1 << 20
checked = 0


def same(what, got, want):
    global checked
    if got != want:
        sys.exit(f"boto3_client.py: {what}: got {got!r}, want {want!r}")
    checked += 1
    print(f"boto3_client.py: {what}")


def refused(what, code, message, call, **kwargs):
    try:
        call(**kwargs)
    except ClientError as e:
        same(what, (e.response["Error"]["Code"], e.response["Error"]["Message"]), (code, message))
        return
    sys.exit(f"boto3_client.py: {what}: succeeded, want {code}")


def tree(data):
    return calculate_tree_hash(io.BytesIO(data))


def finish(client, **parameters):
    job = client.initiate_job(vaultName=VAULT, jobParameters=parameters)["jobId"]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        got = client.describe_job(vaultName=VAULT, jobId=job)
        if got["Completed"]:
            same("job ends", (got["StatusCode"], got["StatusMessage"]), ("Succeeded", "Succeeded"))
            return job, got
        time.sleep(0.05)
    sys.exit(f"boto3_client.py: job {job} does not end")


def main():
    client = boto3.client("glacier", endpoint_url=os.environ["ENDPOINT"])
    made = client.create_vault(vaultName=VAULT)
    same("create_vault", (made["location"], made["ResponseMetadata"]["HTTPStatusCode"]), (f"/{ACCOUNT}/vaults/{VAULT}", 201))
    same("request id", len(made["ResponseMetadata"]["RequestId"]), 47)
    client.get_waiter("vault_exists").wait(vaultName=VAULT)
    described = client.describe_vault(vaultName=VAULT)
    same("describe_vault", (described["VaultName"], described["NumberOfArchives"], described["SizeInBytes"]), (VAULT, 0, 0))

    for i in range(12):
        client.create_vault(vaultName=f"boto3-page-{i:02}")
    names = [v["VaultName"] for page in client.get_paginator("list_vaults").paginate() for v in page["VaultList"]]
    same("list_vaults paginator", [n for n in names if n.startswith("boto3-page-")], [f"boto3-page-{i:02}" for i in range(12)])
    same("list_vaults is in order", names, sorted(names))
    for i in range(12):
        client.delete_vault(vaultName=f"boto3-page-{i:02}")

    data = os.urandom(3 * MIB + 17)
    up = client.upload_archive(vaultName=VAULT, archiveDescription="a  b", body=data)
    same("upload_archive", (up["checksum"], up["location"]), (tree(data), f"/{ACCOUNT}/vaults/{VAULT}/archives/{up['archiveId']}"))
    refused("upload_archive with a wrong checksum", "InvalidParameterValueException",
            f"Checksum mismatch: expected {'0' * 64}, computed {tree(data)}",
            client.upload_archive, vaultName=VAULT, body=data, checksum="0" * 64)
    refused("upload_archive of nothing", "InvalidParameterValueException", "Invalid Content-Length: 0",
            client.upload_archive, vaultName=VAULT)

    mp = client.initiate_multipart_upload(vaultName=VAULT, partSize=str(MIB), archiveDescription="parts")
    upload = mp["uploadId"]
    for first in (2 * MIB, 0, 3 * MIB, MIB, 0):
        piece = data[first:first + MIB]
        part = client.upload_multipart_part(vaultName=VAULT, uploadId=upload, body=piece,
                                            range=f"bytes {first}-{first + len(piece) - 1}/*")
        same("upload_multipart_part", part["checksum"], hashlib.sha256(piece).hexdigest())
    refused("upload_multipart_part with a bad range", "InvalidParameterValueException", "Invalid Content-Range: bytes 5-4/*",
            client.upload_multipart_part, vaultName=VAULT, uploadId=upload, body=b"x", range="bytes 5-4/*")
    parts = [p["RangeInBytes"] for page in client.get_paginator("list_parts").paginate(
        vaultName=VAULT, uploadId=upload, PaginationConfig={"PageSize": 1}) for p in page["Parts"]]
    same("list_parts paginator", parts, ["0-1048575", "1048576-2097151", "2097152-3145727", "3145728-3145744"])
    spare = [client.initiate_multipart_upload(vaultName=VAULT, partSize=str(MIB))["uploadId"] for _ in range(3)]
    uploads = [u["MultipartUploadId"] for page in client.get_paginator("list_multipart_uploads").paginate(
        vaultName=VAULT, PaginationConfig={"PageSize": 2}) for u in page["UploadsList"]]
    same("list_multipart_uploads paginator", sorted(uploads), sorted([upload, *spare]))
    for s in spare:
        client.abort_multipart_upload(vaultName=VAULT, uploadId=s)
        client.abort_multipart_upload(vaultName=VAULT, uploadId=s)
    same("abort_multipart_upload", len(client.list_multipart_uploads(vaultName=VAULT)["UploadsList"]), 1)
    done = [client.complete_multipart_upload(vaultName=VAULT, uploadId=upload, archiveSize=str(len(data)), checksum=tree(data))
            for _ in range(2)]
    same("complete_multipart_upload, repeated", (done[0]["checksum"], done[0]["archiveId"]), (tree(data), done[1]["archiveId"]))

    for archive in (up["archiveId"], done[0]["archiveId"]):
        job, got = finish(client, Type="archive-retrieval", ArchiveId=archive, Tier="Expedited", Description="look")
        same("describe_job", (got["Action"], got["SHA256TreeHash"], got["ArchiveSizeInBytes"], got["JobDescription"]),
             ("ArchiveRetrieval", tree(data), len(data), "look"))
        out = client.get_job_output(vaultName=VAULT, jobId=job)
        same("get_job_output", (out["status"], out["checksum"], out["contentType"], out["acceptRanges"]),
             (200, tree(data), "application/octet-stream", "bytes"))
        same("bytes of the archive", out["body"].read() == data, True)
        out = client.get_job_output(vaultName=VAULT, jobId=job, range="bytes=1048576-9999999")
        same("get_job_output of a range", (out["status"], out["contentRange"], out["body"].read() == data[MIB:]),
             (206, f"bytes 1048576-{len(data) - 1}/{len(data)}", True))
    refused("initiate_job of an unknown archive", "ResourceNotFoundException", "The archive ID was not found: nosuch",
            client.initiate_job, vaultName=VAULT, jobParameters={"Type": "archive-retrieval", "ArchiveId": "nosuch"})

    job, got = finish(client, Type="inventory-retrieval", Format="JSON", InventoryRetrievalParameters={"Limit": "1"})
    marker = got["InventoryRetrievalParameters"]["Marker"]
    job2, got2 = finish(client, Type="inventory-retrieval", InventoryRetrievalParameters={"Limit": "1", "Marker": marker})
    same("the last inventory page has no marker", got2["InventoryRetrievalParameters"].get("Marker"), None)
    listed = [json.load(client.get_job_output(vaultName=VAULT, jobId=j)["body"])["ArchiveList"][0] for j in (job, job2)]
    same("paged inventory", sorted((a["ArchiveId"], a["SHA256TreeHash"], a["ArchiveDescription"]) for a in listed),
         sorted([(up["archiveId"], tree(data), "a  b"), (done[0]["archiveId"], tree(data), "parts")]))
    jobs = [j["JobId"] for page in client.get_paginator("list_jobs").paginate(
        vaultName=VAULT, completed="true", statuscode="Succeeded", PaginationConfig={"PageSize": 1}) for j in page["JobList"]]
    same("list_jobs paginator", (len(jobs), jobs[0]), (4, job2))

    for archive in (up["archiveId"], done[0]["archiveId"], up["archiveId"]):
        client.delete_archive(vaultName=VAULT, archiveId=archive)
    refused("delete_archive of an unknown one", "ResourceNotFoundException", "The archive ID was not found: nosuch",
            client.delete_archive, vaultName=VAULT, archiveId="nosuch")
    client.delete_vault(vaultName=VAULT)
    client.get_waiter("vault_not_exists").wait(vaultName=VAULT)
    refused("describe_vault of a deleted one", "ResourceNotFoundException",
            f"Vault not found for ARN: arn:aws:glacier:{REGION}:{ACCOUNT}:vaults/{VAULT}",
            client.describe_vault, vaultName=VAULT)
    refused("describe_vault in another account", "AccessDeniedException", "Access denied for account ID: 123456789012",
            client.describe_vault, accountId="123456789012", vaultName=VAULT)
    print(f"boto3_client.py: {checked} checks passed")


main()
