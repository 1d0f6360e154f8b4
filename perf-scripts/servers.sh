# Servers to be measured, for the scripts beside: to be sourced, from the root of the project.
#
# In: `dir`, below which everything is made. Out: `bench` and `menagerie` (built, or
# MENAGERIE_BINARY), `reports` (a directory that stays), and the functions below. What is started
# ends with the script.

cargo build --quiet --release --locked --package menagerie-bench
release="${CARGO_TARGET_DIR:-$PWD/target}/release"
bench="$release/menagerie-bench"
if [ -z "${MENAGERIE_BINARY:-}" ]; then
    cargo build --quiet --release --locked --package menagerie
fi
menagerie="${MENAGERIE_BINARY:-$release/menagerie}"

scratch="$(mktemp --directory --tmpdir="$dir" menagerie-measured-XXXXXX)"
reports="$scratch/reports"
mkdir "$reports"
# A command before the server's own, such as taskset.
launcher=""
declare -A pid_of port_of

say() { echo "$(date +%T) $*" >&2; }

# Apache ZooKeeper is needed: fetches it where it is not.
with_apache() {
    local cache="${MENAGERIE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/menagerie-tests}"
    jars="$cache/apache-zookeeper-3.9.4"
    [ -f "$jars/complete" ] || tests/install system python apache
}

free_port() {
    local take='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0))'
    python3 -c "$take; print(s.getsockname()[1])"
}

# The shell command that becomes the server.
command_of() { # KIND
    case "$1" in
        menagerie) echo "$launcher $menagerie server $scratch/$1/zoo.cfg" ;;
        apache)
            echo "$launcher java -Xmx4g -XX:+UseG1GC -Dlog4j2.level=ERROR -cp '$jars/*'" \
                "org.apache.zookeeper.server.quorum.QuorumPeerMain $scratch/$1/zoo.cfg" ;;
        echo) echo "$launcher $bench echo --listen 127.0.0.1:${port_of[echo]}" ;;
    esac
}

configure() { # KIND [LINE…]
    local kind="$1" home="$scratch/$1"
    shift
    mkdir -p "$home"
    port_of[$kind]="${port_of[$kind]:-$(free_port)}"
    printf '%s\n' "dataDir=$home/data" "clientPort=${port_of[$kind]}" \
        clientPortAddress=127.0.0.1 maxClientCnxns=0 admin.enableServer=false "$@" >"$home/zoo.cfg"
}

answers() { # PORT
    local line=""
    { exec 3<>"/dev/tcp/127.0.0.1/$1" && printf srvr >&3 && read -r -t 5 line <&3; } 2>/dev/null ||
        true
    { exec 3>&-; } 2>/dev/null || true
    [[ "$line" == "Zookeeper version"* || "$line" == "Mode:"* ]]
}

start() { # KIND [LINE…]
    configure "$@"
    bash -c "exec $(command_of "$1")" >>"$scratch/$1/log" 2>&1 &
    pid_of[$1]=$!
    until answers "${port_of[$1]}"; do
        kill -0 "${pid_of[$1]}" 2>/dev/null || { tail "$scratch/$1/log" >&2; exit 1; }
        sleep 0.1
    done
}

stop() { # KIND
    [ -n "${pid_of[$1]:-}" ] || return 0
    kill "${pid_of[$1]}" 2>/dev/null || true
    wait "${pid_of[$1]}" 2>/dev/null || true
    unset "pid_of[$1]"
}

# Forgets what a server has, as if it had never been.
wipe() { # KIND
    stop "$1"
    rm -rf "${scratch:?}/$1"
}

# The flags by which a scenario finds a server.
at() { # KIND
    echo "--servers 127.0.0.1:${port_of[$1]} --server-pid ${pid_of[$1]}"
}

# One line about the machine.
host() {
    echo "host: $(nproc) CPUs, Linux $(uname -r), $(df --output=fstype "$scratch" | tail -n 1)," \
        "$(free -g | awk '/^Mem/ {print $2}') GB; $("$menagerie" --version)"
}

finish() {
    local kind
    for kind in menagerie apache echo; do wipe "$kind"; done
}
trap finish EXIT
