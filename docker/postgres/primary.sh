#!/bin/bash
# Run once, by the image of PostgreSQL, in the primary's new database: the app's table, who may copy it, and who may look.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" -v password="$POSTGRES_PASSWORD" <<'SQL'
create table notes (id bigint generated always as identity primary key, text text not null);
create role replicator login replication password :'password';
create role weir login password :'password';
grant pg_monitor to weir;
SQL
echo "host replication replicator all scram-sha-256" >>"$PGDATA/pg_hba.conf"
