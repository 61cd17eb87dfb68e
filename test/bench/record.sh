#!/usr/bin/env bash
# Records the Go benchmarks of the parts a request passes through, and compares
# them with the recording before:
#
#   bash test/bench/record.sh LABEL [FLAG OF GO TEST...]
#
# The recording goes to docs/performance/NNNN-LABEL.txt in the format of
# benchstat, with the next free number. Flags such as -count=10 -benchtime=1s
# come after those of this script and win. COMPARE=FILE names another recording
# to compare with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

[ $# -ge 1 ] || { printf 'usage: %s LABEL [FLAG...]\n' "$0" >&2; exit 2; }
label=$1
shift
dir=docs/performance
mkdir -p "$dir"
last=$(find "$dir" -name '[0-9][0-9][0-9][0-9]-*.txt' | sort | tail -n 1)
number=0
[ -z "$last" ] || { number=$(basename "$last"); number=${number%%-*}; }
out=$(printf '%s/%04d-%s.txt' "$dir" $((10#$number + 1)) "$label")

commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain -- '*.go')" ] || commit=$commit-dirty
{
	printf 'commit: %s\n' "$commit"
	printf 'toolchain: %s\n' "$(go env GOVERSION)"
	# One line for every figure; what fails says so on standard error.
	go test -run '^$' -bench '^Benchmark(NewHasher|Hasher|Root|Verify|Evaluate|Put|Read|Upload|Get)$' \
		-benchmem -count=6 -benchtime=0.3s -timeout=1h "$@" \
		./internal/treehash ./internal/sigv4 ./internal/policy ./internal/blob/pack ./internal/meta/sqlmeta |
		grep -E '^(goos|goarch|pkg|cpu|Benchmark)'
} >"$out.part"
mv "$out.part" "$out"
printf 'recorded %s\n' "$out"
base=${COMPARE:-$last}
[ -z "$base" ] || go tool -modfile=tools/benchstat/go.mod benchstat -ignore commit,toolchain "$base" "$out"
