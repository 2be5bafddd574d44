# Tools that the checks need beside Rust. Sourced, not run.
#
# Everything goes below .countersign/tools, so nothing is installed on the machine; the one exception is
# docker-compose, which Debian's packages can only install as a whole, and only root does that.
# A tool that can't be had is noted in `missing_tools`, and whoever needs it says what was not checked.

TOOLS="$PWD/.countersign/tools"
SCHEMATHESIS_VERSION=4.32.5
AIOSMTPD_VERSION=1.4.6
CARGO_DENY_VERSION=0.20.2
missing_tools=""

mkdir -p "$TOOLS/bin"
export PATH="$TOOLS/bin:$PATH"

lacks() { # lacks <tool> <what to do>
    missing_tools="$missing_tools $1"
    echo "not there: $1 ($2)"
}

# Runs quietly; what it said is shown only when it fails.
quietly() {
    local log
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        tail -n 5 "$log"
        rm -f "$log"
        return 1
    fi
}

# Debian's package, unpacked where we want it: its service is never set up.
unpack_debian() { # unpack_debian <package>
    local scratch
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    scratch=$(mktemp -d)
    if ! (cd "$scratch" && apt-get download "$1" >/dev/null 2>&1); then
        # Fresh machines and containers have no package lists; only root can fetch them.
        [ "$(id -u)" = 0 ] && apt-get update >/dev/null 2>&1
        (cd "$scratch" && apt-get download "$1" >/dev/null 2>&1) || { rm -rf "$scratch"; return 1; }
    fi
    dpkg -x "$scratch"/*.deb "$TOOLS/$1" && rm -rf "$scratch"
}

need_promtool() {
    command -v promtool >/dev/null && return
    if unpack_debian prometheus && "$TOOLS/prometheus/usr/bin/promtool" --version >/dev/null 2>&1; then
        ln -sf "$TOOLS/prometheus/usr/bin/promtool" "$TOOLS/bin/promtool"
    else
        lacks promtool "apt-get install prometheus, or https://prometheus.io/download"
    fi
}

need_compose() {
    docker compose version >/dev/null 2>&1 && return
    command -v docker-compose >/dev/null && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update >/dev/null 2>&1 || true
        for package in docker-compose-v2 docker-compose; do
            DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$package" >/dev/null 2>&1 || continue
            docker compose version >/dev/null 2>&1 && return
            command -v docker-compose >/dev/null && return
        done
    fi
    lacks docker-compose "https://docs.docker.com/compose/install, or apt-get install docker-compose"
}

# Python packages in an environment of their own; PyYAML for deploy/check.sh is among them.
need_schemathesis() {
    local venv="$PWD/.countersign/venv-schemathesis"
    if ! "$venv/bin/schemathesis" --version 2>/dev/null | grep -qF "$SCHEMATHESIS_VERSION"; then
        echo "installing schemathesis $SCHEMATHESIS_VERSION"
        rm -rf "$venv"
        if ! quietly python3 -m venv "$venv" \
            || ! quietly "$venv/bin/pip" install --disable-pip-version-check "schemathesis==$SCHEMATHESIS_VERSION" pyyaml; then
            lacks schemathesis "python3 with venv and pip"
            return
        fi
    fi
    SCHEMATHESIS="$venv/bin/schemathesis"
    python3 -c 'import yaml' 2>/dev/null || ln -sf "$venv/bin/python3" "$TOOLS/bin/python3"
    export SCHEMATHESIS
}

# The mail server that the mail client's tests talk to, in an environment of its own.
need_aiosmtpd() {
    local venv="$PWD/.countersign/venv-aiosmtpd"
    local installed='import sys, aiosmtpd; sys.exit(aiosmtpd.__version__ != sys.argv[1])'
    if ! "$venv/bin/python3" -c "$installed" "$AIOSMTPD_VERSION" 2>/dev/null; then
        echo "installing aiosmtpd $AIOSMTPD_VERSION"
        rm -rf "$venv"
        if ! quietly python3 -m venv "$venv" \
            || ! quietly "$venv/bin/pip" install --disable-pip-version-check "aiosmtpd==$AIOSMTPD_VERSION"; then
            lacks aiosmtpd "python3 with venv and pip"
            return
        fi
    fi
    export COUNTERSIGN_AIOSMTPD="$venv/bin/python3"
}

# The identity provider that the sign-in tests talk to: npm packages, as locked beside those tests.
need_oidc_provider() {
    local from="$PWD/crates/providers/tests/oidc/provider" folder="$PWD/.countersign/oidc-provider"
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        lacks oidc-provider "Node.js 20 or newer with npm"
        return
    fi
    # Copied only after a whole installation: half of one is made again.
    if ! cmp -s "$from/package-lock.json" "$folder/installed.json"; then
        echo "installing oidc-provider"
        rm -rf "$folder"
        mkdir -p "$folder"
        cp "$from/package.json" "$from/package-lock.json" "$folder/"
        if ! quietly npm ci --prefix "$folder" --no-audit --no-fund --ignore-scripts; then
            lacks oidc-provider "npm ci in $from"
            return
        fi
        cp "$from/package-lock.json" "$folder/installed.json"
    fi
    export COUNTERSIGN_OIDC_PROVIDER="$folder"
}

need_cargo_deny() {
    cargo deny --version 2>/dev/null | grep -qF "$CARGO_DENY_VERSION" && return
    echo "installing cargo-deny $CARGO_DENY_VERSION"
    # A target folder of its own: it must not disturb the workspace's.
    quietly env CARGO_TARGET_DIR="$TOOLS/build" cargo install --quiet --locked cargo-deny \
        --version "$CARGO_DENY_VERSION" --root "$TOOLS" || lacks cargo-deny "cargo install cargo-deny"
    rm -rf "$TOOLS/build"
}
