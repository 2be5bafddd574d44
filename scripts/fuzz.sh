#!/usr/bin/env bash
# Schemathesis against a running API on private servers: hunts for 500s, undocumented statuses and answers
# that do not fit their schema. Started by scripts/test.sh as `countersign with-servers -- scripts/fuzz.sh`.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${COUNTERSIGN:?the binary}" "${SCHEMATHESIS:?its command}"

export DATABASE_URL="$COUNTERSIGN_TEST_DATABASE_URL" REDIS_URL="$COUNTERSIGN_TEST_REDIS_URL"
export COUNTERSIGN_WEBHOOK_KEYS=0123456789abcdef0123456789abcdef0123456789abcdef COUNTERSIGN_NAMESPACE=fuzz
unset COUNTERSIGN_APP_DATABASE_URL COUNTERSIGN_ENGINE_DATABASE_URL COUNTERSIGN_METRICS_LISTEN
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export COUNTERSIGN_LISTEN="127.0.0.1:$port" RUST_LOG=warn,sqlx=error
url="http://$COUNTERSIGN_LISTEN"
logs=$(mktemp -d)
started=()
finish() {
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    for process in "${started[@]}"; do wait "$process" 2>/dev/null || true; done
    rm -rf "$logs"
}
trap finish EXIT

# The folder is the keys' own: nothing else may read it.
"$COUNTERSIGN" keys init --dir "$logs/keys" >/dev/null
export COUNTERSIGN_KEYS_DIR="$logs/keys"
"$COUNTERSIGN" migrate
token=$("$COUNTERSIGN" token create --org fuzz --create-org --name fuzz --scopes '*' 2>/dev/null)
"$COUNTERSIGN" api >"$logs/api" 2>&1 &
started+=($!)
"$COUNTERSIGN" worker --concurrency 4 --drain-secs 1 >"$logs/worker" 2>&1 &
started+=($!)
for _ in $(seq 100); do
    "$COUNTERSIGN" probe "$url/readyz" >/dev/null 2>&1 && break
    sleep 0.1
done
"$COUNTERSIGN" probe "$url/readyz" || { cat "$logs/api"; exit 1; }

# A schema can't say everything that a valid request needs (a lane that exists, a job that waits), so a
# refused request that fits its schema is no mistake. One worker: Python 3.11 can't parse in two threads.
NOT_MEANT=positive_data_acceptance
# Loopback only, so never through a proxy.
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
# In the folder of the logs, because it leaves folders where it runs. The event stream never ends by itself.
(cd "$logs" && timeout 240 "$SCHEMATHESIS" run "$url/openapi.json" --header "Authorization: Bearer $token" \
    --checks all --exclude-checks "$NOT_MEANT" --exclude-path /v1/events \
    --max-examples "${COUNTERSIGN_FUZZ_EXAMPLES:-20}" --max-time 100 --max-failures 20 --workers 1 \
    --request-timeout 15 --seed "${COUNTERSIGN_FUZZ_SEED:-1}" --no-color --warnings off) || {
    code=$?
    echo "the API's own log:"
    tail -n 20 "$logs/api"
    exit $code
}
