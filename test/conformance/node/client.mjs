// Drives a server with the AWS SDK for JavaScript v3: all sixteen archive
// operations, the four paginators, both waiters and the SDK's own tree hash
// middleware. It wants ENDPOINT, ACCOUNT and the usual AWS_* variables; run.sh
// provides them. It ends at the first difference.

import { createHash, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import * as g from "@aws-sdk/client-glacier";

const { ENDPOINT, ACCOUNT, AWS_REGION } = process.env;
const MiB = 1 << 20;
const vaultName = "node-client";
const client = new g.Glacier({ endpoint: ENDPOINT, region: AWS_REGION, maxAttempts: 1 });
const accountId = "-";
let checked = 0;

function same(what, got, want) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    console.error(`client.mjs: ${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
    process.exit(1);
  }
  checked++;
  console.log(`client.mjs: ${what}`);
}

async function refused(what, code, message, promise) {
  try {
    await promise;
  } catch (e) {
    same(what, [e.name, e.message], [code, message]);
    return;
  }
  same(what, "success", code);
}

const sha256 = (...b) => b.reduce((h, x) => h.update(x), createHash("sha256")).digest();

function treeHash(data) {
  let level = [];
  for (let i = 0; i < data.length; i += MiB) level.push(sha256(data.subarray(i, i + MiB)));
  while (level.length > 1) {
    const next = [];
    for (let i = 0; i < level.length; i += 2) next.push(i + 1 < level.length ? sha256(level[i], level[i + 1]) : level[i]);
    level = next;
  }
  return level[0].toString("hex");
}

async function collect(pages, key) {
  const items = [];
  for await (const page of pages) items.push(...page[key]);
  return items;
}

async function finish(jobParameters) {
  const { jobId } = await client.initiateJob({ accountId, vaultName, jobParameters });
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const job = await client.describeJob({ accountId, vaultName, jobId });
    if (job.Completed) {
      same("job ends", [job.StatusCode, job.StatusMessage], ["Succeeded", "Succeeded"]);
      return job;
    }
    await delay(50);
  }
  same("job ends", "InProgress", "Succeeded");
}

const made = await client.createVault({ accountId, vaultName });
same("createVault", [made.location, made.$metadata.httpStatusCode], [`/${ACCOUNT}/vaults/${vaultName}`, 201]);
await g.waitUntilVaultExists({ client, maxWaitTime: 30 }, { accountId, vaultName });
const fresh = await client.describeVault({ accountId, vaultName });
same("describeVault has numbers", [fresh.NumberOfArchives, fresh.SizeInBytes], [0, 0]);

for (let i = 0; i < 11; i++) await client.createVault({ accountId, vaultName: `node-page-${10 + i}` });
const vaults = await collect(g.paginateListVaults({ client, pageSize: 3 }, { accountId }), "VaultList");
same("paginateListVaults", vaults.filter((v) => v.VaultName.startsWith("node-page-")).length, 11);
for (let i = 0; i < 11; i++) await client.deleteVault({ accountId, vaultName: `node-page-${10 + i}` });

const data = randomBytes(3 * MiB + 99);
const up = await client.uploadArchive({ accountId, vaultName, archiveDescription: "from node", body: data });
same("uploadArchive", [up.checksum, up.location], [treeHash(data), `/${ACCOUNT}/vaults/${vaultName}/archives/${up.archiveId}`]);
await refused("uploadArchive with a wrong checksum", "InvalidParameterValueException",
  `Checksum mismatch: expected ${"0".repeat(64)}, computed ${treeHash(data)}`,
  client.uploadArchive({ accountId, vaultName, body: data, checksum: "0".repeat(64) }));

const { uploadId } = await client.initiateMultipartUpload({ accountId, vaultName, partSize: String(MiB), archiveDescription: "node parts" });
await Promise.all([3, 1, 0, 2].map(async (i) => {
  const body = data.subarray(i * MiB, (i + 1) * MiB);
  const range = `bytes ${i * MiB}-${i * MiB + body.length - 1}/*`;
  const part = await client.uploadMultipartPart({ accountId, vaultName, uploadId, range, body });
  same("uploadMultipartPart", part.checksum, treeHash(body));
}));
const parts = await collect(g.paginateListParts({ client, pageSize: 1 }, { accountId, vaultName, uploadId }), "Parts");
same("paginateListParts", parts.map((p) => p.RangeInBytes), ["0-1048575", "1048576-2097151", "2097152-3145727", "3145728-3145826"]);
const spare = await client.initiateMultipartUpload({ accountId, vaultName, partSize: String(4 * MiB) });
const uploads = await collect(g.paginateListMultipartUploads({ client, pageSize: 1 }, { accountId, vaultName }), "UploadsList");
same("paginateListMultipartUploads", uploads.map((u) => u.MultipartUploadId).sort(), [uploadId, spare.uploadId].sort());
for (let i = 0; i < 2; i++) await client.abortMultipartUpload({ accountId, vaultName, uploadId: spare.uploadId });
const whole = { accountId, vaultName, uploadId, archiveSize: String(data.length), checksum: treeHash(data) };
await refused("completeMultipartUpload with a wrong size", "InvalidParameterValueException", "Invalid x-amz-archive-size: 1",
  client.completeMultipartUpload({ ...whole, archiveSize: "1" }));
const done = await client.completeMultipartUpload(whole);
same("completeMultipartUpload", done.checksum, treeHash(data));
same("completeMultipartUpload, repeated", (await client.completeMultipartUpload(whole)).archiveId, done.archiveId);

for (const ArchiveId of [up.archiveId, done.archiveId]) {
  const job = await finish({ Type: "archive-retrieval", ArchiveId, Tier: "Expedited" });
  same("describeJob", [job.SHA256TreeHash, job.ArchiveSizeInBytes], [treeHash(data), data.length]);
  const jobId = job.JobId;
  const out = await client.getJobOutput({ accountId, vaultName, jobId });
  same("getJobOutput", [out.status, out.checksum, out.contentType], [200, treeHash(data), "application/octet-stream"]);
  same("bytes of the archive", Buffer.compare(Buffer.from(await out.body.transformToByteArray()), data), 0);
  const tail = await client.getJobOutput({ accountId, vaultName, jobId, range: "bytes=2097152-4194303" });
  const bytes = Buffer.from(await tail.body.transformToByteArray());
  same("getJobOutput of a range", [tail.status, tail.contentRange, tail.checksum],
    [206, `bytes 2097152-${data.length - 1}/${data.length}`, treeHash(data.subarray(2 * MiB))]);
  same("bytes of the range", Buffer.compare(bytes, data.subarray(2 * MiB)), 0);
}
const inventory = await finish({ Type: "inventory-retrieval", Format: "JSON", InventoryRetrievalParameters: { Limit: "10" } });
const list = JSON.parse(await (await client.getJobOutput({ accountId, vaultName, jobId: inventory.JobId })).body.transformToString());
same("inventory", list.ArchiveList.map((a) => [a.ArchiveDescription, a.Size]).sort(), [["from node", data.length], ["node parts", data.length]]);
const jobs = await collect(g.paginateListJobs({ client, pageSize: 1 }, { accountId, vaultName, completed: "true", statuscode: "Succeeded" }), "JobList");
same("paginateListJobs", [jobs.length, jobs[0].JobId], [3, inventory.JobId]);

await refused("deleteVault that is not empty", "InvalidParameterValueException",
  `Vault not empty or recently written to: arn:aws:glacier:${AWS_REGION}:${ACCOUNT}:vaults/${vaultName}`,
  client.deleteVault({ accountId, vaultName }));
for (const archiveId of [up.archiveId, done.archiveId, up.archiveId]) await client.deleteArchive({ accountId, vaultName, archiveId });
await client.deleteVault({ accountId, vaultName });
await g.waitUntilVaultNotExists({ client, maxWaitTime: 30 }, { accountId, vaultName });
await refused("describeVault of a deleted one", "ResourceNotFoundException",
  `Vault not found for ARN: arn:aws:glacier:${AWS_REGION}:${ACCOUNT}:vaults/${vaultName}`,
  client.describeVault({ accountId, vaultName }));
await refused("listVaults of another account", "AccessDeniedException", "Access denied for account ID: 123456789012",
  client.listVaults({ accountId: "123456789012" }));
await refused("describeVault with an account that is none", "AccessDeniedException", "Access denied for account ID: abcmnoxyz",
  client.describeVault({ accountId: "abcmnoxyz", vaultName }));
console.log(`client.mjs: ${checked} checks passed`);
