# shellcheck shell=bash
#
# What the scripts need of the machine they run on: programs, a Docker engine, cargo. To be sourced
# by a script that has called set -euo pipefail; it speaks through that script's own `fail`.

PATH=$PATH:/usr/sbin:/sbin

# The programs that leasepipe's examples use, and the packages of Debian and Ubuntu that have them.
readonly -A package_of=(
    [dockerd]=docker.io
    [docker]=docker-cli
    [docker-compose]=docker-compose
    [docker-registry]=docker-registry
    [dnsmasq]=dnsmasq-base
    [dhclient]=isc-dhcp-client
    [ip]=iproute2
    [busybox]=busybox-static
    [etcd]=etcd-server
    [etcdctl]=etcd-client
    [protoc]="protobuf-compiler libprotobuf-dev"
    [jq]=jq
    [dhcpcd]=dhcpcd-base
    [dhcpd]=isc-dhcp-server
    [kea-dhcp4]=kea-dhcp4-server
    [kea-dhcp6]=kea-dhcp6-server
    [kea-ctrl-agent]=kea-ctrl-agent
    [perfdhcp]=kea-admin
    [podman]=podman
    [ovs-vsctl]=openvswitch-switch
    [ovs-vswitchd]=openvswitch-switch
    [ovsdb-server]=openvswitch-switch
    [cc]="gcc libc6-dev"
    [curl]=curl
    [faketime]=faketime
    [flock]=util-linux
    [nft]=nftables
    [openssl]=openssl
    [nsenter]=util-linux
    [setpriv]=util-linux
    [ssh]=openssh-client
    [sshd]=openssh-server
    [sysctl]=procps
    [sqlite3]=sqlite3
    [strace]=strace
    [tshark]=tshark
    [dumpcap]=wireshark-common
    [shellcheck]=shellcheck
    [systemd-analyze]=systemd
)

# Installs the packages of those programs that are missing.
install_missing() {
    local program packages=() of
    for program; do
        type -P "$program" >/dev/null && continue
        read -ra of <<<"${package_of[$program]}"
        # Older releases have the client in docker.io, and no docker-cli.
        [[ $program == docker && ${packages[*]} == *docker.io* ]] || packages+=("${of[@]}")
    done
    ((${#packages[@]} == 0)) || apt_install "${packages[@]}"
    [[ " $* " != *" docker "* ]] || type -P docker >/dev/null || apt_install docker-cli
}

# Servers are installed for the tests' sake and not started as services, as long as the package
# manager asks before it does.
apt_install() {
    local policy=/usr/sbin/policy-rc.d
    if [[ -e $policy || " $* " != *-server* && " $* " != *-agent* && " $* " != *-switch* &&
        " $* " != *-registry* ]]; then
        apt_install_as_is "$@"
        return
    fi
    (
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        apt_install_as_is "$@"
    ) || exit
}

apt_install_as_is() {
    local log
    type -P apt-get >/dev/null || fail "missing, and there is no apt-get to install it: $*"
    log=$(mktemp)
    # The second time with fresh lists: they may be missing or name versions that are gone.
    if ! apt_get install "$@" >"$log" 2>&1 &&
        ! { apt_get update && apt_get install "$@"; } >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        fail "apt-get could not install: $*"
    fi
    rm -f "$log"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends "$@" </dev/null
}

# How the engine that this script started is to be stopped; empty when one was there.
docker_started=

# Makes sure that a Docker engine answers.
start_docker() {
    docker info >/dev/null 2>&1 && return
    if [[ -d /run/systemd/system ]]; then
        docker_started=systemd
        systemctl start docker >/dev/null 2>&1 || fail "systemctl could not start docker"
    else
        # A pid file of an engine that was killed would keep the next one from starting.
        local pid
        pid=$(cat /run/docker.pid 2>/dev/null || true)
        [[ -z $pid || $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]] || rm -f /run/docker.pid
        docker_log=$(mktemp)
        setsid dockerd >"$docker_log" 2>&1 </dev/null &
        docker_started=$!
    fi
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        docker info >/dev/null 2>&1 && return
        [[ $docker_started == systemd ]] || kill -0 "$docker_started" 2>/dev/null || break
        sleep 0.1
    done
    [[ ! -e ${docker_log:-} ]] || tail -n 20 "$docker_log" >&2
    fail "no Docker engine answers"
}

# Stops the engine that start_docker started.
stop_docker() {
    case $docker_started in
        '') ;;
        systemd) systemctl stop docker.socket docker >/dev/null 2>&1 || true ;;
        *)
            kill "$docker_started" 2>/dev/null || true
            wait "$docker_started" 2>/dev/null || true
            rm -f "$docker_log"
            ;;
    esac
    docker_started=
}

# Finds cargo: the one of the user who called sudo, if the checkout is theirs, so that target/ and
# the downloads stay theirs; otherwise root's. One that is older than Cargo.toml asks for, as those
# of the distributions are, is refused.
find_cargo() {
    local home tools wanted found
    builder=root
    if [[ -n ${SUDO_USER:-} && $(stat -c %U .) == "$SUDO_USER" ]]; then
        builder=$SUDO_USER
    fi
    home=$(getent passwd "$builder" | cut -d: -f6)
    for tools in "${CARGO_HOME:-$home/.cargo}" "$home/.cargo" /usr/local/cargo; do
        [[ ! -x $tools/bin/cargo ]] || PATH=$tools/bin:$PATH
    done
    export CARGO_HOME=${CARGO_HOME:-$home/.cargo} RUSTUP_HOME=${RUSTUP_HOME:-$home/.rustup}
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    type -P cargo >/dev/null || fail "there is no cargo; install Rust $wanted from https://rustup.rs"
    found=$(as_builder cargo --version | cut -d ' ' -f 2)
    printf '%s\n' "$wanted" "$found" | sort --version-sort --check=quiet ||
        fail "cargo $found is too old; install Rust $wanted from https://rustup.rs"
}

# Runs a command as the user whose cargo it is.
as_builder() {
    if [[ $builder == root ]]; then
        "$@"
    else
        runuser --user "$builder" -- env HOME="$(getent passwd "$builder" | cut -d: -f6)" "$@"
    fi
}

# Gives what root left in target/ back to the user whose cargo it is.
return_target() {
    [[ ${builder:-root} == root ]] ||
        find "${CARGO_TARGET_DIR:-target}" -user root -exec chown -h "$builder:" {} + 2>/dev/null || true
}
