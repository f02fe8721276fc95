#!/bin/bash
# A streaming replica: on its first start a copy of the primary.
# usage: PRIMARY=HOST PGPASSWORD=... replica.sh [postgres' options]
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    pg_basebackup -d "host=$PRIMARY port=${PRIMARY_PORT:-5432} user=replicator password=$PGPASSWORD" -D "$PGDATA" -R -X stream -c fast
    chmod 0700 "$PGDATA"
fi
exec postgres "$@"
