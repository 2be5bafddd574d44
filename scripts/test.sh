#!/usr/bin/env bash
# `make test`: builds, runs every test on private servers, then what is not Rust. Ends with the totals;
# what this machine can't check is named and counted, never left out in silence.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/tools.sh

TARGET="${CARGO_TARGET_DIR:-target}"
export COUNTERSIGN="$PWD/$TARGET/debug/countersign"
case "$TARGET" in /*) COUNTERSIGN="$TARGET/debug/countersign" ;; esac
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0

heading() { printf '\n── %s\n' "$1"; }
pass() { passed=$((passed + 1)); echo "ok      $1"; }
fail() { failed=$((failed + 1)); echo "FAILED  $1"; }
skip() { skipped=$((skipped + 1)); echo "not checked: $1"; }
lacking() { [[ " $missing_tools " == *" $1 "* ]]; }

heading "tools"
need_schemathesis
need_aiosmtpd
need_promtool
need_compose
need_oidc_provider
echo "done"

heading "build"
# Exactly what `cargo test` below wants, so nothing is built twice.
cargo test --workspace --no-run

heading "tests"
if ! "$COUNTERSIGN" with-servers -- cargo test --workspace --no-fail-fast 2>&1 | tee "$scratch/cargo"; then
    # A test that failed is counted below; a build or a server that failed is not a test.
    grep -q '^test result: FAILED' "$scratch/cargo" || fail "the tests did not run to their end"
fi
read -r cargo_passed cargo_failed cargo_ignored < <(awk '
    /^test result:/ { passed += $4; failed += $6; ignored += $8 }
    END { print passed + 0, failed + 0, ignored + 0 }' "$scratch/cargo")
passed=$((passed + cargo_passed)) failed=$((failed + cargo_failed)) skipped=$((skipped + cargo_ignored))
if lacking aiosmtpd; then skip "the mail client against aiosmtpd"; fi
if lacking oidc-provider; then skip "sign-in against oidc-provider"; fi
[ "$cargo_passed" -gt 0 ] || fail "no test ran"

heading "deployment"
COUNTERSIGN_CHECK_SKIP_CARGO=1 deploy/check.sh >"$scratch/deploy" 2>&1 || true
while IFS= read -r line; do
    case "$line" in
        "ok      "*) pass "${line#ok      }" ;;
        # deploy/check.sh takes a missing tool for a failure; here it is one thing that was not checked.
        "FAILED  "*" is missing: "*) skip "what needs ${line#FAILED  }" ;;
        "FAILED  "*) fail "${line#FAILED  }" ;;
        "        "*) echo "$line" ;;
    esac
done <"$scratch/deploy"
page="$TARGET/tmp/exposition.prom"
if lacking promtool || [ ! -s "$page" ]; then
    skip "promtool on the metrics page"
elif promtool check metrics <"$page"; then
    pass "promtool likes the metrics page"
else
    fail "promtool on the metrics page"
fi

heading "API fuzz"
if lacking schemathesis; then
    skip "schemathesis against /openapi.json"
elif "$COUNTERSIGN" with-servers -- scripts/fuzz.sh; then
    pass "schemathesis finds no 5xx, no undocumented status, no answer outside its schema"
else
    fail "schemathesis"
fi

heading "generated files"
if git rev-parse --git-dir >/dev/null 2>&1; then
    # The tests compare them with what the code makes; nothing here may have changed them meanwhile.
    if git diff --quiet -- docs/openapi.json; then pass "docs/openapi.json is as committed"; else fail "docs/openapi.json differs from the committed one"; fi
else
    skip "drift of generated files (no git here)"
fi

printf '\n%s passed in Rust, %s failed, %s ignored\n' "$cargo_passed" "$cargo_failed" "$cargo_ignored"
echo "total: $passed passed, $failed failed, $skipped not checked"
[ "$failed" -eq 0 ]
