# Servers to be measured, for the scripts beside: to be sourced, from the root of the project.
#
# In: `dir`, below which everything is made, and `reports`, a directory that stays, unless a new one
# shall be made. Out: `bench` and `menagerie` (built, or MENAGERIE_BINARY), `reports`, and the
# functions below. What is started ends with the script.
#
# A server's name is its kind (menagerie, apache, echo), or its kind with a suffix: `apache-2`.

cargo build --quiet --release --locked --package menagerie-bench
release="${CARGO_TARGET_DIR:-$PWD/target}/release"
bench="$release/menagerie-bench"
if [ -z "${MENAGERIE_BINARY:-}" ]; then
    cargo build --quiet --release --locked --package menagerie
fi
menagerie="${MENAGERIE_BINARY:-$release/menagerie}"

scratch="$(mktemp --directory --tmpdir="$dir" menagerie-measured-XXXXXX)"
reports="${reports:-$scratch/reports}"
mkdir -p "$reports"
# A command before the server's own, such as taskset.
launcher=""
# What the echo server answers to getData.
echo_value_bytes=1024
members=(1 2 3)
declare -A pid_of port_of
# Thousands of connections are as many files, here and in the servers.
ulimit -n "$(ulimit -Hn)"

say() { echo "$(date +%T) $*" >&2; }

# Apache ZooKeeper is needed: fetches it where it is not.
with_apache() {
    local cache="${MENAGERIE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/menagerie-tests}"
    jars="$cache/apache-zookeeper-3.9.4"
    [ -f "$jars/complete" ] || tests/install system python apache
}

free_ports() { # COUNT
    python3 - "$1" <<'PYTHON'
import socket
import sys

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(each.getsockname()[1] for each in sockets))
PYTHON
}

# The shell command that becomes the server.
command_of() { # NAME
    case "$1" in
        menagerie*) echo "$launcher $menagerie server $scratch/$1/zoo.cfg" ;;
        apache*)
            echo "$launcher java -Xmx4g -XX:+UseG1GC -Dlog4j2.level=ERROR -cp '$jars/*'" \
                "org.apache.zookeeper.server.quorum.QuorumPeerMain $scratch/$1/zoo.cfg" ;;
        echo*)
            echo "$launcher $bench echo --listen 127.0.0.1:${port_of[$1]}" \
                "--value-bytes $echo_value_bytes" ;;
    esac
}

configure() { # NAME [LINE…]
    local name="$1" home="$scratch/$1"
    shift
    mkdir -p "$home"
    port_of[$name]="${port_of[$name]:-$(free_ports 1)}"
    printf '%s\n' "dataDir=$home/data" "clientPort=${port_of[$name]}" \
        clientPortAddress=127.0.0.1 maxClientCnxns=0 admin.enableServer=false "$@" >"$home/zoo.cfg"
}

# Three servers of a kind, KIND-1 to KIND-3, as members of one ensemble.
configure_ensemble() { # KIND [LINE…]
    local kind="$1" member ports lines=()
    shift
    read -r -a ports <<<"$(free_ports $((2 * ${#members[@]})))"
    for member in "${members[@]}"; do
        lines+=("server.$member=127.0.0.1:${ports[2 * member - 2]}:${ports[2 * member - 1]}")
    done
    for member in "${members[@]}"; do
        configure "$kind-$member" tickTime=2000 initLimit=10 syncLimit=5 "${lines[@]}" "$@"
        mkdir -p "$scratch/$kind-$member/data"
        echo "$member" >"$scratch/$kind-$member/data/myid"
    done
}

answers() { # PORT
    local line=""
    { exec 3<>"/dev/tcp/127.0.0.1/$1" && printf srvr >&3 && read -r -t 5 line <&3; } 2>/dev/null ||
        true
    { exec 3>&-; } 2>/dev/null || true
    [[ "$line" == "Zookeeper version"* || "$line" == "Mode:"* ]]
}

launch() { # NAME
    bash -c "exec $(command_of "$1")" >>"$scratch/$1/log" 2>&1 &
    pid_of[$1]=$!
}

await() { # NAME
    local began=$SECONDS
    until answers "${port_of[$1]}"; do
        if ! kill -0 "${pid_of[$1]}" 2>/dev/null || [ $((SECONDS - began)) -gt 600 ]; then
            say "$1 does not serve"
            tail "$scratch/$1/log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

start() { # NAME [LINE…]
    configure "$@"
    launch "$1"
    await "$1"
}

start_ensemble() { # KIND
    local member
    configure_ensemble "$1"
    for member in "${members[@]}"; do launch "$1-$member"; done
    for member in "${members[@]}"; do await "$1-$member"; done
}

stop() { # NAME [SIGNAL]
    [ -n "${pid_of[$1]:-}" ] || return 0
    kill -s "${2:-TERM}" "${pid_of[$1]}" 2>/dev/null || true
    # A shell that waits tells of a process that was killed.
    wait "${pid_of[$1]}" 2>/dev/null || true
    unset "pid_of[$1]"
}

# Forgets what a server has, as if it had never been.
wipe() { # NAME
    stop "$1"
    rm -rf "${scratch:?}/$1"
}

wipe_ensemble() { # KIND
    local member
    for member in "${members[@]}"; do wipe "$1-$member"; done
}

# The flags by which a scenario finds a server, or an ensemble by its kind.
at() { # NAME
    local name servers="" pids=""
    for name in "$1" "${members[@]/#/$1-}"; do
        [ -n "${pid_of[$name]:-}" ] || continue
        servers+=",127.0.0.1:${port_of[$name]}" pids+=" --server-pid ${pid_of[$name]}"
    done
    echo "--servers ${servers#,}$pids"
}

# One line about the machine.
host() {
    echo "host: $(nproc) CPUs, Linux $(uname -r), $(df --output=fstype "$scratch" | tail -n 1)," \
        "$(free -g | awk '/^Mem/ {print $2}') GB; $("$menagerie" --version)"
}

stop_all() {
    local name
    for name in "${!pid_of[@]}"; do stop "$name"; done
}

finish() {
    stop_all
    find "$scratch" -mindepth 1 -maxdepth 1 -type d ! -name reports -exec rm -rf {} +
    # It holds the reports, unless they are elsewhere.
    rmdir "$scratch" 2>/dev/null || true
}
trap finish EXIT
