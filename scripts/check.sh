#!/usr/bin/env bash
# Formatting, lints, dependency policy. `make check`; .ci/run runs it after the tests.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh

echo "── formatting"
cargo fmt --all --check
echo "── lints"
cargo clippy --workspace --all-targets -- -D warnings
echo "── dependency policy"
need_cargo_deny
if [[ " $missing_tools " == *" cargo-deny "* ]]; then
    echo "not checked: licences, bans, sources and advisories (cargo-deny could not be installed)"
    exit 1
fi
cargo deny --offline check bans licenses sources
# Advisories need a database from the network; a machine without one says so.
advisories=$(mktemp)
trap 'rm -f "$advisories"' EXIT
if cargo deny check advisories >"$advisories" 2>&1; then
    echo "advisories ok"
elif grep -qiE "failed to fetch|unable to fetch|failed to (clone|open|acquire)|could not (resolve|connect)|network|dns" "$advisories"; then
    echo "not checked: advisories (their database could not be fetched: $(grep -iE "fetch|resolve|connect|clone|network" "$advisories" | head -n 1 | cut -c 1-160))"
else
    cat "$advisories"
    exit 1
fi
