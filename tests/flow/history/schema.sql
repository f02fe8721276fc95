-- What the app keeps: the newest value of each key, and beside it every write that was ever committed.
create table kv (
    tenant text not null,
    key text not null,
    version bigint not null,
    op text not null, -- the write's own name, from who wrote it
    value text not null,
    primary key (tenant, key)
) with (fillfactor = 50, autovacuum_enabled = off);

-- No unique index on purpose: a write that came twice must be seen twice.
create table written (
    op text not null,
    tenant text not null,
    key text not null,
    version bigint not null
) with (autovacuum_enabled = off);
