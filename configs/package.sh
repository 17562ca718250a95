#!/usr/bin/env bash
# Builds a Debian package: the daemon, its unit, manual pages, completions, examples.
#
#   configs/package.sh [PROFILE [FILE]]     PROFILE is release (the default) or dev; FILE is where the package goes
#
# It needs `cargo install cargo-deb --locked`, and dpkg-dev for the names of the libraries that the binary needs.
set -eu
cd "$(dirname "$0")/.."
profile=${1:-release}
file=${2:-}

if ! cargo deb --version >/dev/null 2>&1; then
    echo "$0: cargo-deb is not installed: run cargo install cargo-deb --locked" >&2
    exit 1
fi
# For weft_build_info; a build for tests stays as it is.
if [ "$profile" = release ] && [ -z "${WEFT_REVISION:-}" ]; then
    WEFT_REVISION=$(git rev-parse --short=12 HEAD 2>/dev/null) || WEFT_REVISION=unknown
    export WEFT_REVISION
fi
cargo build --locked --workspace --bin weft --profile "$profile"

target=${CARGO_TARGET_DIR:-target}
case $profile in dev) built=$target/debug ;; *) built=$target/$profile ;; esac
made=target/package
rm -rf "$made"
mkdir -p "$made"
"$built/weft" man "$made/man" >/dev/null
for shell in bash zsh fish; do "$built/weft" completions $shell >"$made/weft.$shell"; done

set -- --package weft --no-build --profile "$profile"
if [ -n "$file" ]; then set -- "$@" --output "$file"; fi
cargo deb "$@"
