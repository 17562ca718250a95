#!/usr/bin/env bash
# Runs fuzz targets, each with its corpus, and stops at the first that finds something.
#
#   fuzz/run.sh SECONDS [TARGET]...     all targets without a name
#
# What libFuzzer finds interesting stays in fuzz/corpus/, what it finds wrong in fuzz/artifacts/; tests/data/fuzz/ is only
# read. A stable compiler is enough: no sanitizer is needed where there is no unsafe code.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:?how many seconds for each target}
shift
if [ $# = 0 ]; then set -- $(cd fuzz/fuzz_targets && ls | sed 's/\.rs$//'); fi
cargo fuzz build --sanitizer none
for target; do
    echo "== $target"
    mkdir -p "fuzz/corpus/$target"
    cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "tests/data/fuzz/$target" -- \
        -max_total_time="$seconds" -timeout=20 -max_len=4096 -print_final_stats=1
done
