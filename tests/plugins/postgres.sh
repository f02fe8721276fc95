#!/bin/bash
# Runs a test program beside real PostgreSQL servers: makes a primary and a streaming replica as folders to start from, and
# takes with it whatever was started from them. Nothing of Debian's own cluster is used or touched.
#
#     postgres.sh PROGRAM [ARGUMENTS]    77 (skipped) without PostgreSQL's server on this machine
#     postgres.sh copy primary|replica NEW_DIR PORT [PRIMARY_PORT]
#     postgres.sh start|stop|kill|promote|freeze|thaw DIR      for the program
#
# PostgreSQL refuses to run as root: then its servers run as user postgres or nobody.
set -eu

bin=$(find /usr/lib/postgresql/*/bin -name initdb 2>/dev/null | sort -V | tail -n 1)
bin=${bin%/initdb}

# A client's PG... variables would lead the tools elsewhere.
unset PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS PGDATA
export LC_ALL=C

as_server() {
    if [ "$(id -u)" != 0 ]; then
        "$@"
    else
        (cd / && setpriv --reuid="$server_user" --regid="$(id -g "$server_user")" --clear-groups "$@")
    fi
}

server_user=postgres
id -u postgres >/dev/null 2>&1 || server_user=nobody

settings() {
    cat <<END
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
shared_buffers = 4MB
max_connections = 20
max_wal_senders = 5
wal_level = replica
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
hot_standby = on
max_parallel_workers = 0
max_logical_replication_workers = 0
checkpoint_timeout = 1h
END
}

# The superuser needs no password on this machine; the probe does, as it would in production.
make_templates() {
    as_server mkdir "$1/primary"
    as_server "$bin/initdb" -D "$1/primary" -U postgres --auth=trust --no-sync --no-instructions --wal-segsize=1 \
        -E UTF8 --no-locale
    settings | as_server tee -a "$1/primary/postgresql.conf" >/dev/null
    printf '%s\n' 'host all postgres 127.0.0.1/32 trust' 'host replication postgres 127.0.0.1/32 trust' \
        'host all all 127.0.0.1/32 scram-sha-256' | as_server tee "$1/primary/pg_hba.conf" >/dev/null
    echo "create role probe login password 'hush-hush';" "grant pg_monitor to probe;" \
        "create role stranger login password 'unknown-to-most';" "create table note (id int primary key, text text);" |
        as_server "$bin/postgres" --single -j -D "$1/primary" postgres
    as_server "$bin/pg_ctl" -D "$1/primary" -o "-p $2" -w -t 60 -l "$1/primary/log" start
    as_server "$bin/pg_basebackup" -D "$1/replica" -h 127.0.0.1 -p "$2" -U postgres -R --no-sync --checkpoint=fast
    as_server "$bin/pg_ctl" -D "$1/primary" -w -m fast stop
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

copy() {
    local from=$WEIR_POSTGRES_DIR/$1 to=$2 port=$3 primary_port=${4:-}

    as_server cp -r "$from" "$to"
    as_server chmod 700 "$to"
    echo "port = $port" | as_server tee -a "$to/postgresql.conf" >/dev/null
    [ -z "$primary_port" ] ||
        echo "primary_conninfo = 'host=127.0.0.1 port=$primary_port user=postgres'" |
        as_server tee -a "$to/postgresql.auto.conf" >/dev/null
}

# A server is one process and its children.
signal_all() {
    local pid
    pid=$(head -n 1 "$2/postmaster.pid")
    # shellcheck disable=SC2046
    kill -"$1" "$pid" $(ps -o pid= --ppid "$pid")
}

# Also a server that a test left frozen has to go. Its file goes with it; its number may stay for somebody to wait for.
stop_all() {
    local file
    local files=("$1"/*/postmaster.pid)

    for file in "${files[@]}"; do
        [ -e "$file" ] || continue
        signal_all CONT "${file%/*}" 2>/dev/null
        kill -QUIT "$(head -n 1 "$file")" 2>/dev/null
    done
    for _ in $(seq 50); do
        ls "$1"/*/postmaster.pid >/dev/null 2>&1 || break
        sleep 0.1
    done
    for file in "${files[@]}"; do
        [ ! -e "$file" ] || kill -KILL "$(head -n 1 "$file")" 2>/dev/null
    done
    rm -rf "$1"
}

case ${1:-} in
copy)
    shift
    copy "$@"
    ;;
start) as_server "$bin/pg_ctl" -D "$2" -w -t 60 -l "$2/log" start ;;
stop) as_server "$bin/pg_ctl" -D "$2" -w -t 60 -m fast stop ;;
kill) as_server "$bin/pg_ctl" -D "$2" -w -t 60 -m immediate stop ;;
promote) as_server "$bin/pg_ctl" -D "$2" -w -t 60 promote ;;
freeze) signal_all STOP "$2" ;;
thaw) signal_all CONT "$2" ;;
'')
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
*)
    [ -n "$bin" ] && [ -x "$bin/postgres" ] || {
        echo "PostgreSQL's server is not installed: skipped"
        exit 77
    }
    folder=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "set +e; stop_all '$folder'" EXIT
    trap 'exit 143' TERM INT HUP
    chmod 777 "$folder"
    make_templates "$folder" "$(free_port)" >"$folder/log" 2>&1 || {
        cat "$folder"/log "$folder"/*/log
        exit 1
    }
    WEIR_POSTGRES_TOOL=$(realpath "$0") WEIR_POSTGRES_DIR=$folder "$@" &
    wait $!
    ;;
esac
