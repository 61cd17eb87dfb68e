#!/usr/bin/env bash
# Runs the real clients against a server started for the occasion: the AWS CLI,
# boto3 with its client and its resource layer, and the SDK for JavaScript; beside
# them the main job, with kills, and what takes Glacier weeks, on a moved clock.
# A client that is missing is a failure, never a skip, and so is an operation
# that a client has not done. TEST_SERVER_BINARY names a
# ready server; without it the server is built from this tree.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
server= beside=
cleanup() {
	if [[ -n $server ]] && kill -0 "$server" 2>/dev/null; then
		kill -TERM "$server"
		wait "$server" || true
	fi
	[[ -z $beside ]] || wait "$beside" || true
	rm -rf "$work"
}
trap cleanup EXIT

die() {
	echo "run.sh: $*" >&2
	[[ -s $work/server.log ]] && grep -v level=INFO "$work/server.log" | tail -n 40 >&2
	exit 1
}

for tool in go aws python3 node npm curl; do
	command -v "$tool" >/dev/null || die "$tool is missing"
done
python3 -c 'import boto3' 2>/dev/null || die "boto3 is missing: python3 -m pip install boto3"
# What a version manager puts in front of python takes longer than most checks.
python=$(python3 -c 'import os, sys; print(os.path.dirname(sys.executable))')
[[ :$PATH: == *:$python:* ]] || export PATH=$python:$PATH
if [[ ! -d $here/node/node_modules/@aws-sdk/client-glacier ]]; then
	(cd "$here/node" && npm ci --no-audit --no-fund >"$work/npm.log" 2>&1) || {
		cat "$work/npm.log" >&2
		die "the JavaScript SDK could not be installed"
	}
fi

binary=${TEST_SERVER_BINARY:-}
if [[ -z $binary ]]; then
	binary=$work/moraine
	(cd "$root" && go build -o "$binary" ./cmd/moraine) || die "the server does not build"
fi

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export MORAINE_ROOT_ACCESS_KEY_ID=AKIAMORAINETEST00002
export MORAINE_ROOT_SECRET_ACCESS_KEY=moraine/clients/secret+key/012345678901
export MORAINE_ACCOUNT_ID=210987654321
export MORAINE_REGION=eu-north-1
"$binary" serve --listen "127.0.0.1:$port" --data "$work/data" --regions eu-north-1,us-east-1,eu-west-1 \
	--admin-listen '' --job-delay expedited=0s,standard=1s,bulk=10m --inventory-interval 0s >"$work/server.log" 2>&1 &
server=$!

export ENDPOINT=http://127.0.0.1:$port
for ((i = 0; i < 300; i++)); do
	curl -fsS -o /dev/null "$ENDPOINT/healthz" 2>/dev/null && break
	kill -0 "$server" 2>/dev/null || die "the server ended before it was ready"
	read -rt 0.1 <> <(:) || true
done
curl -fsS -o /dev/null "$ENDPOINT/healthz" || die "the server is not ready"

export AWS_ACCESS_KEY_ID=$MORAINE_ROOT_ACCESS_KEY_ID
export AWS_SECRET_ACCESS_KEY=$MORAINE_ROOT_SECRET_ACCESS_KEY
export AWS_DEFAULT_REGION=$MORAINE_REGION AWS_REGION=$MORAINE_REGION
export AWS_EC2_METADATA_DISABLED=true AWS_PAGER= AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
export AWS_MAX_ATTEMPTS=1 ACCOUNT=$MORAINE_ACCOUNT_ID

# What is about identities, and what has a server of its own, runs beside the
# rest: the clients compute more than they wait.
beside() {
	"$here/iam.sh" && python3 "$here/boto3_iam.py" && python3 "$here/main_job.py" "$binary" && python3 "$here/testmode.py" "$binary"
}
beside >"$work/beside.log" 2>&1 &
beside=$!
"$here/aws.sh" || die "aws.sh failed"
python3 "$here/boto3_client.py" || die "boto3_client.py failed"
python3 "$here/boto3_resource.py" || die "boto3_resource.py failed"
CAPACITY_REGION=eu-west-1 node "$here/node/client.mjs" || die "node/client.mjs failed"
wait "$beside" || {
	cat "$work/beside.log"
	die "a client of identities or of a server of its own failed"
}
beside=
cat "$work/beside.log"

kill -TERM "$server"
wait "$server" || die "the server did not end cleanly"
server=
python3 "$here/coverage.py" "$work/data/audit" || die "a client has left something out"
"$binary" fsck --data "$work/data" >"$work/fsck.log" 2>&1 || {
	cat "$work/fsck.log" >&2
	die "fsck found damage"
}
echo "run.sh: all clients agree"
