#!/usr/bin/env bash
# Every check and test of weft. The last line says how many passed and failed; the exit code is 0 when none failed.
#
#   sudo ./test.sh          all of it, in some 22 minutes on two cores
#   ./test.sh quick         what needs no privilege: format, lints, unit, doc, property and golden tests; in half a
#                           minute once the dependencies are built
#   sudo ./test.sh soak     ten minutes of load on two nodes
#
# The privileged tests run daemons, pods and other people's switches in network namespaces of their own; nothing
# outside those is touched. Logs of failed steps are printed; all logs stay in target/test-logs.
set -u
cd "$(dirname "$0")" || exit 1
mode=${1:-all}
case $mode in all | quick | soak) ;; *)
    echo "usage: $0 [quick|soak]" >&2
    exit 2 ;;
esac
logs=target/test-logs
mkdir -p "$logs"
passed=0 failed=0
export CARGO_TERM_COLOR=never RUST_BACKTRACE=0

# command package
needs='ip iproute2
ethtool ethtool
ping iputils-ping
tcpdump tcpdump
tshark tshark
ovs-vswitchd openvswitch-switch
nft nftables
sysctl procps
cc gcc
iperf3 iperf3
curl curl
chromium chromium
node nodejs
npm npm
openssl openssl
promtool prometheus
python3 python3
faketime faketime
setpriv util-linux
strace strace
tmux tmux
groff groff
man man-db
dpkg-deb dpkg
systemd-analyze systemd'

# The packages of those programs that are not installed.
missing_packages() {
    while read -r program package; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || printf '%s ' "$package"
    done <<<"$needs"
}

# Counts a step that is no test binary of its own.
count() {
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# What a log says of a failure: the panics and errors of tests, or else its last lines.
explain() {
    local told
    told=$(awk '/^failures:$/ { on = 1 } on; /^test result: FAILED/ { on = 0 } /^error/ { print }' "$1" | head -n 200)
    if [ -n "$told" ]; then echo "$told"; else tail -n 60 "$1"; fi
}

# step NAME SECONDS COMMAND...: runs one step. Test results in its output are counted; without any, the step counts
# as one.
step() {
    local name=$1 limit=$2 log="$logs/$1.log" start=$SECONDS code
    shift 2
    printf '%-12s ' "$name"
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null
    code=$?
    local good=0 bad=0 lines
    read -r lines good bad < <(awk '/^test result: / { n++; p += $4; f += $6 } END { print n + 0, p + 0, f + 0 }' "$log")
    if [ "$lines" = 0 ]; then
        count $code
    else
        passed=$((passed + good)) failed=$((failed + bad))
        # A binary that crashed, hung or was never built has no result of its own.
        if [ $code != 0 ] && [ "$bad" = 0 ]; then failed=$((failed + 1)); fi
    fi
    local result=ok
    if [ $code = 124 ] || [ $code = 137 ]; then result="FAILED: not done after $limit s"; elif [ $code != 0 ]; then result=FAILED; fi
    if [ "$lines" = 0 ]; then echo "$result ($((SECONDS - start)) s)"; else echo "$result: $good passed, $bad failed ($((SECONDS - start)) s)"; fi
    if [ $code != 0 ]; then
        explain "$log" | cut -c1-400 | sed 's/^/    | /'
        echo "    whole log: $log"
    fi
    return $code
}

finish() {
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
    exit
}

fail() {
    echo "FAILED: $*"
    failed=$((failed + 1))
}

if ! command -v cargo >/dev/null; then
    fail "cargo is not installed: get Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer from https://rustup.rs"
    finish
fi
root=no
if [ "$(id -u)" = 0 ]; then root=yes; fi
packages=$(missing_packages)
if [ -n "$packages" ] && [ $root = yes ] && [ "$mode" != quick ] && command -v apt-get >/dev/null; then
    echo "installing $packages"
    # shellcheck disable=SC2086 # a list of words
    { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends $packages; } \
        >"$logs/apt.log" 2>&1 || tail -n 20 "$logs/apt.log"
    packages=$(missing_packages)
fi

privileged=yes
if [ "$mode" != quick ]; then
    if [ $root = no ]; then
        fail "the end-to-end tests need root: run sudo $0, or $0 quick for what needs none"
        privileged=no
    elif [ -n "$packages" ]; then
        fail "the end-to-end tests need these Debian packages: $packages"
        privileged=no
    elif [ ! -c /dev/net/tun ]; then
        fail "the end-to-end tests need /dev/net/tun: modprobe tun; mkdir -p /dev/net; mknod /dev/net/tun c 10 200"
        privileged=no
    fi
    export PATH=$PATH:/usr/sbin:/sbin
fi

# The whole workspace each time: a part of it would be another set of features, and be built anew.
all='--locked --workspace'
export WEFT_BIN="${CARGO_TARGET_DIR:-$PWD/target}/debug/weft"
one='-- --ignored --test-threads=1'
# Of those that mostly wait; the others measure, or load the machine.
two='-- --ignored --test-threads=2'
three='-- --ignored --test-threads=3'

if [ "$mode" = soak ] && [ $privileged = no ]; then finish; fi
# shellcheck disable=SC2086 # lists of words
{
if [ "$mode" != soak ]; then
    step fmt 60 cargo fmt --all --check
    step clippy 600 cargo clippy $all --all-targets -- -D warnings
fi
targets=--all-targets
if [ "$mode" = quick ]; then targets=; fi
# With the program: the tests of its package need it.
if ! step build-tests 1200 cargo test $all $targets --no-run; then finish; fi
if [ "$mode" = soak ]; then
    WEFT_SOAK_S=600 step soak 900 cargo test $all -q --test soak $one
    finish
fi
step unit 300 cargo test $all -q --no-fail-fast
if [ "$mode" = quick ]; then finish; fi

# Clusters in virtual time.
step simulations 600 cargo test $all -q --no-fail-fast --test replica_sim --test members_sim --test engine_sim -- --ignored

step benches 300 cargo test $all -q --bench '*'
# The corpus alone is run by tests/fuzz_corpus.rs above, without either.
if cargo fuzz --version >/dev/null 2>&1 && command -v c++ >/dev/null; then
    step fuzz 1500 fuzz/run.sh 3
else
    echo "fuzz         skipped: no cargo-fuzz or no C++ compiler (cargo install cargo-fuzz; apt-get install g++)"
fi
if [ $privileged = yes ]; then
    step device 120 cargo test $all -q --lib --bins --no-fail-fast $one
    step demo 120 cargo test $all -q --test demo $one
    # From here on the program has the features that it is shipped with; above it had those of the tests, too.
    if ! step build 600 cargo build $all --bins; then finish; fi
    step peers 120 benches/peers/peers.sh --check
    # Makes the Debian package that tests/packaging.rs installs.
    step cargo-deb 600 cargo install cargo-deb --version 3.8.0 --locked --debug --root target/tools
    export PATH="$PWD/target/tools/bin:$PATH"
    for file in tests/*.rs; do
        if ! grep -q '#\[ignore' "$file"; then continue; fi
        name=$(basename "$file" .rs)
        case $name in
            doctor) threads=$three ;;
            e2e | interop | gossip* | faults | logs | metrics | recipes | rules | life | path | top | trace) threads=$two ;;
            *) threads=$one ;;
        esac
        step "$name" 300 cargo test $all -q --test "$name" $threads
    done
fi
}
finish
