#!/usr/bin/env bash
# Has everything on this machine that `make run`, `make test` and `make examples` need. Installs what is missing
# (Debian, Ubuntu), starts a container engine if none answers, and is done at once if all is there.
# Usage: scripts/setup.sh [run|test|examples]     exit 4: something is missing that this cannot install.
set -euo pipefail

for_what=${1:-run}
engine_log=${SYNCOPE_DOCKERD_LOG:-${TMPDIR:-/tmp}/dockerd-of-syncope.log}
packages_log=${TMPDIR:-/tmp}/packages-of-syncope-$(id -u).log
engine_wait_s=30
policy=/usr/sbin/policy-rc.d

say() { printf 'setup: %s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }
has_file() { compgen -G "$1" >/dev/null; }

main() {
    local packages engine=yes
    if ! has cargo; then
        say "missing: cargo, of Rust 1.95 or later. Install it with rustup (https://rustup.rs), then run this again"
        exit 4
    fi
    engine_answers || engine=no
    packages=$(missing_packages $engine)
    if [ -n "$packages" ]; then
        install "$packages"
    fi
    if [ $engine = no ] && ! engine_answers; then
        start_engine
    fi
    if [ "$for_what" = test ] && ! has cargo-nextest; then
        say "installing cargo-nextest"
        cargo install --locked cargo-nextest
    fi
}

missing_packages() {
    local engine=$1 packages=()
    # Rust links with the C compiler.
    has cc || packages+=(gcc libc6-dev)
    has redis-server || packages+=(redis-server)
    has postgres || has_file '/usr/lib/postgresql/*/bin/postgres' || packages+=(postgresql)
    has_file '/usr/lib/*/faketime/libfaketimeMT.so.1' || packages+=(faketime)
    # The package brings promtool, which tests ask.
    { has prometheus && { [ "$for_what" != test ] || has promtool; }; } || packages+=(prometheus)
    has mmdebstrap || has debootstrap || packages+=(mmdebstrap)
    if [ "$engine" = no ]; then
        has dockerd || packages+=(docker.io)
        has iptables || packages+=(iptables)
    fi
    # The foreign fleet among the tests.
    [ "$for_what" != test ] || has python3 || packages+=(python3)
    # What the examples' recipes are installed with.
    if [ "$for_what" = examples ]; then
        { has node && has npm; } || packages+=(nodejs npm)
        python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3 python3-venv)
    fi
    echo "${packages[*]}"
}

install() {
    local packages=$1 sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo -n)
    if ! has apt-get || { [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; }; then
        say "missing: $packages (Debian's names). Install them, then run this again:"
        say "  sudo apt-get install -y $packages"
        exit 4
    fi
    say "installing $packages"
    hold_services "${sudo[@]}"
    local apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    # What packages have to say is of interest only if they cannot be installed.
    # shellcheck disable=SC2086 # one word per package
    if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends $packages; } >"$packages_log" 2>&1 </dev/null; then
        say "failed to install $packages; the last words of $packages_log:"
        tail -n 5 "$packages_log" >&2 || true
        exit 4
    fi
}

# Debian starts a server when its package is installed; the harness starts its own.
hold_services() {
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | "$@" tee "$policy" >/dev/null
        "$@" chmod +x "$policy"
        # shellcheck disable=SC2064 # the words of now
        trap "$* rm -f $policy" EXIT
    fi
}

engine_answers() {
    if has docker; then
        timeout 5 docker version >/dev/null 2>&1
    elif has curl; then
        timeout 5 curl -fs --unix-socket /var/run/docker.sock http://engine/_ping >/dev/null 2>&1
    else
        return 1
    fi
}

# First as the machine would start it; then dockerd itself, which asks ever less of its kernel. It gets
# none of our files: whoever waits for their end (make's job server) would wait for ever.
start_engine() {
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo -n)
    if [ -d /run/systemd/system ] && "${sudo[@]}" systemctl start docker 2>/dev/null && wait_for_engine; then
        return
    fi
    local flags
    for flags in '' '--storage-driver=vfs' '--storage-driver=vfs --iptables=false --ip6tables=false'; do
        forget_dead_engine "${sudo[@]}"
        say "starting dockerd $flags (its output: $engine_log)"
        # shellcheck disable=SC2086 # one word per flag
        PATH="$PATH:/usr/sbin:/sbin" setsid "${sudo[@]}" dockerd $flags >"$engine_log" 2>&1 </dev/null 3>&- 4>&- 5>&- 6>&- &
        if wait_for_engine $!; then
            return
        fi
        kill $! 2>/dev/null || true
    done
    say "no container engine could be started; its last words:"
    tail -n 5 "$engine_log" >&2 || true
    say "scenarios can still run with --backend process"
    exit 4
}

# A pid file whose process is gone, or is another program by now, would keep dockerd from starting.
forget_dead_engine() {
    local file pid
    for file in /var/run/docker.pid /run/docker/containerd/containerd.pid; do
        pid=$(cat "$file" 2>/dev/null) || continue
        case "$(cat "/proc/$pid/comm" 2>/dev/null)" in
            dockerd | containerd) ;;
            *) "$@" rm -f "$file" ;;
        esac
    done
}

# Of dockerd itself, if its pid is given: no more waiting once that is gone.
wait_for_engine() {
    local deadline=$((SECONDS + engine_wait_s))
    while [ $SECONDS -lt $deadline ]; do
        if engine_answers; then
            return 0
        fi
        if [ -n "${1:-}" ] && ! kill -0 "$1" 2>/dev/null; then
            return 1
        fi
        sleep 0.1
    done
    return 1
}

main
