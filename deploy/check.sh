#!/bin/sh
# Checks what is deployed but not compiled: alert rules and their tests, Prometheus' config, the
# Grafana board, docker-compose.yml, the Kubernetes recipe.
#
# Installs nothing and starts nothing. A tool that is missing is a failure that says what to
# install. COUNTERSIGN_CHECK_SKIP_CARGO=1 leaves out the checks that compile (board and
# metrics page against crates/telemetry), for callers that run `cargo test` anyway.
set -u
cd "$(dirname "$0")/.."

failures=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# step <name> <command…>: runs it, prints its output only when it fails.
step() {
    name=$1
    shift
    if "$@" >"$scratch/out" 2>&1; then
        echo "ok      $name"
    else
        echo "FAILED  $name"
        sed 's/^/        /' "$scratch/out"
        failures=$((failures + 1))
    fi
}

# missing <tool> <how to get it>
missing() {
    echo "FAILED  $1 is missing: $2"
    failures=$((failures + 1))
}

# The board's expressions as recording rules, so that promtool can read them. JSON is YAML.
board_as_rules() {
    python3 - "$scratch/board.yml" dashboards/grafana/boards/*.json <<'PYTHON'
import json, sys

out, boards = sys.argv[1], sys.argv[2:]
rules = []
for path in boards:
    for panel in json.load(open(path))["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"].replace("$__rate_interval", "5m").replace("$lane", ".*")
            rules.append({"record": f"board:panel_{panel['id']}:{target['refId']}", "expr": expr})
if not rules:
    sys.exit("no board has an expression")
json.dump({"groups": [{"name": "board", "rules": rules}]}, open(out, "w"))
PYTHON
}

# The page /metrics serves, as crates/telemetry's test left it.
metrics_page_is_clean() {
    target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    promtool check metrics <"$target/tmp/exposition.prom"
}

runbooks_exist() {
    pages=$(sed -n 's/^ *runbook: *//p' dashboards/grafana/alerts/*.yml | sort -u)
    alerts=$(grep -c '^ *- alert:' dashboards/grafana/alerts/countersign.yml)
    named=$(grep -c '^ *runbook:' dashboards/grafana/alerts/countersign.yml)
    result=0
    if [ "$alerts" -ne "$named" ]; then
        echo "$alerts alerts, $named runbook annotations: every alert needs one"
        result=1
    fi
    for page in $pages; do
        if [ ! -f "$page" ]; then
            echo "$page is named by an alert and does not exist"
            result=1
        fi
    done
    return $result
}

yaml_parses() {
    python3 -c '
import sys, yaml
for path in sys.argv[1:]:
    for document in yaml.safe_load_all(open(path)):
        assert isinstance(document, dict) and document.get("kind"), f"{path}: a document without kind"
' "$@"
}

compose() {
    if docker compose version >/dev/null 2>&1; then
        docker compose "$@"
    else
        docker-compose "$@"
    fi
}

# Every value that has no default, filled with something.
filled_env() {
    sed 's/^\([A-Z_]*\)=$/\1=check/' .env.example >"$scratch/env"
}

compose_accepts() {
    filled_env && compose --env-file "$scratch/env" config --quiet
}

# The example as it is must be refused, with the sentence that says what to set.
compose_refuses_empty_secrets() {
    if compose --env-file .env.example config --quiet 2>"$scratch/refusal"; then
        echo "docker-compose.yml accepts empty secrets"
        return 1
    fi
    grep -q "in .env" "$scratch/refusal" || { cat "$scratch/refusal"; return 1; }
}

# Ports go to this machine only: each published port names 127.0.0.1.
ports_are_local() {
    filled_env
    compose --env-file "$scratch/env" config >"$scratch/compose.yml" 2>/dev/null || return 1
    python3 - "$scratch/compose.yml" <<'PYTHON'
import sys, yaml

open_ports = []
for name, service in yaml.safe_load(open(sys.argv[1]))["services"].items():
    for port in service.get("ports", []):
        local = port.startswith("127.0.0.1:") if isinstance(port, str) else port.get("host_ip") == "127.0.0.1"
        if not local:
            open_ports.append(f"{name}: {port}")
sys.exit("published beyond 127.0.0.1: " + ", ".join(open_ports) if open_ports else 0)
PYTHON
}

if command -v promtool >/dev/null 2>&1; then
    step "alert rules are valid" promtool check rules dashboards/grafana/alerts/countersign.yml
    step "alert rules do what they say" promtool test rules dashboards/grafana/alerts/tests/countersign.yml
    step "prometheus.yml is valid" promtool check config deploy/prometheus/prometheus.yml
    if command -v python3 >/dev/null 2>&1; then
        step "the board is JSON" board_as_rules
        step "the board's expressions are PromQL" promtool check rules "$scratch/board.yml"
    fi
else
    missing promtool "apt-get install prometheus, or https://prometheus.io/download"
fi

step "every alert has a runbook page" runbooks_exist

if docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null 2>&1; then
    step "docker-compose.yml is valid" compose_accepts
    step "docker-compose.yml refuses empty secrets" compose_refuses_empty_secrets
else
    missing "docker compose" "https://docs.docker.com/compose/install, or apt-get install docker-compose"
fi

if ! command -v python3 >/dev/null 2>&1; then
    missing python3 "apt-get install python3"
elif ! python3 -c 'import yaml' >/dev/null 2>&1; then
    missing "PyYAML" "apt-get install python3-yaml, or pip install pyyaml"
else
    step "published ports are local" ports_are_local
    step "Kubernetes recipes are YAML" yaml_parses deploy/kubernetes/*.yaml
fi

step "shell scripts parse" sh -n deploy/postgres/init/10-countersign.sh

if [ "${COUNTERSIGN_CHECK_SKIP_CARGO:-}" = 1 ]; then
    echo "left    the board against the declared metrics (run by cargo test)"
elif command -v cargo >/dev/null 2>&1; then
    step "board and rules name only declared metrics" \
        cargo test --quiet --package telemetry --tests
    if command -v promtool >/dev/null 2>&1; then
        step "promtool likes the metrics page" metrics_page_is_clean
    fi
else
    missing cargo "https://rustup.rs"
fi

if [ "$failures" -gt 0 ]; then
    echo "$failures failed"
    exit 1
fi
echo "all fine"
