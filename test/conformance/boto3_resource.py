"""Drives a server with the boto3 resource layer: Account, Vault, Archive,
MultipartUpload and the Job collections. It wants ENDPOINT, ACCOUNT and the
usual AWS_* variables; run.sh provides them. It ends at the first difference."""

import io
import os
import sys
import time

import boto3
from botocore.utils import calculate_tree_hash

ACCOUNT = os.environ["ACCOUNT"]
MIB = 1 << 20
checked = 0


def same(what, got, want):
    global checked
    if got != want:
        sys.exit(f"boto3_resource.py: {what}: got {got!r}, want {want!r}")
    checked += 1
    print(f"boto3_resource.py: {what}")


def finish(job):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        job.load()
        if job.completed:
            same("job ends", job.status_code, "Succeeded")
            return job
        time.sleep(0.05)
    sys.exit(f"boto3_resource.py: job {job.id} does not end")


def main():
    glacier = boto3.resource("glacier", endpoint_url=os.environ["ENDPOINT"])
    account = glacier.Account("-")
    vault = account.create_vault(vaultName="boto3-resource")
    same("Account.create_vault", vault.name, "boto3-resource")
    vault.load()
    same("Vault.load", (vault.vault_name, vault.number_of_archives, vault.last_inventory_date), ("boto3-resource", 0, None))
    for i in range(11):
        account.create_vault(vaultName=f"boto3-resource-{i:02}")
    same("Account.vaults follows markers", len([v for v in account.vaults.all() if v.name.startswith("boto3-resource")]), 12)
    for i in range(11):
        account.Vault(f"boto3-resource-{i:02}").delete()

    data = os.urandom(2 * MIB + 5)
    archive = vault.upload_archive(archiveDescription="resource", body=data)
    same("Vault.upload_archive", (archive.vault_name, len(archive.id)), ("boto3-resource", 138))
    job = finish(archive.initiate_archive_retrieval())
    same("Archive.initiate_archive_retrieval", (job.archive_id, job.sha256_tree_hash), (archive.id, calculate_tree_hash(io.BytesIO(data))))
    same("Job.get_output", job.get_output()["body"].read() == data, True)

    upload = vault.initiate_multipart_upload(partSize=str(MIB), archiveDescription="resource parts")
    for first in (MIB, 2 * MIB, 0):
        piece = data[first:first + MIB]
        upload.upload_part(range=f"bytes {first}-{first + len(piece) - 1}/*", body=piece)
    listed = upload.parts()
    same("MultipartUpload.parts", (listed["ArchiveDescription"], [p["RangeInBytes"] for p in listed["Parts"]]),
         ("resource parts", ["0-1048575", "1048576-2097151", "2097152-2097156"]))
    spare = vault.initiate_multipart_upload(partSize=str(MIB))
    same("Vault.multipart_uploads", sorted(u.id for u in vault.multipart_uploads.all()), sorted([upload.id, spare.id]))
    spare.abort()
    done = upload.complete(archiveSize=str(len(data)), checksum=calculate_tree_hash(io.BytesIO(data)))
    same("MultipartUpload.complete", done["checksum"], calculate_tree_hash(io.BytesIO(data)))
    same("Vault.multipart_uploads is empty", list(vault.multipart_uploads.all()), [])

    inventory = finish(vault.initiate_inventory_retrieval())
    same("Vault.initiate_inventory_retrieval", inventory.action, "InventoryRetrieval")
    second = vault.Archive(done["archiveId"])
    finish(second.initiate_archive_retrieval())
    # A job that waits longer than any run: it fails when its archive is deleted.
    waiting = glacier.meta.client.initiate_job(
        vaultName="boto3-resource", jobParameters={"Type": "archive-retrieval", "ArchiveId": archive.id, "Tier": "Bulk"})["jobId"]
    same("Vault.jobs", len(list(vault.jobs.all())), 4)
    same("Vault.completed_jobs", len(list(vault.completed_jobs.all())), 3)
    same("Vault.succeeded_jobs", len(list(vault.succeeded_jobs.all())), 3)
    same("Vault.jobs_in_progress", [j.id for j in vault.jobs_in_progress.all()], [waiting])
    second.delete()
    archive.delete()
    finished = vault.Job(waiting)
    deadline = time.monotonic() + 120
    finished.load()
    while not finished.completed and time.monotonic() < deadline:
        time.sleep(0.05)
        finished.load()
    same("Vault.failed_jobs", [j.id for j in vault.failed_jobs.all()], [waiting])
    vault.delete()
    same("Vault.delete", [v.name for v in account.vaults.all() if v.name == "boto3-resource"], [])
    print(f"boto3_resource.py: {checked} checks passed")


main()
