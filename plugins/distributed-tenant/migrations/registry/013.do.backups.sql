-- The journal of backups: which archive of a tenant is its newest, and how far a backup of all tenants has come. The archives
-- are files of the machine that ran the command; a row says where it put them.
create table backup_runs (
  id text primary key,
  -- The file, or the folder of a backup of all tenants.
  target text not null,
  actor text not null,
  state text not null default 'running' check (state in ('running', 'done', 'stopped')),
  started_at timestamptz not null default now(),
  ended_at timestamptz
);
create table backup_archives (
  run_id text not null references backup_runs on delete cascade,
  -- Null: the central database.
  tenant_id text collate "C",
  state text not null default 'pending' check (state in ('pending', 'running', 'done', 'failed')),
  -- Of this service's part.
  bytes bigint,
  error text,
  changed_at timestamptz not null default now(),
  unique nulls not distinct (run_id, tenant_id)
);
create index backup_archives_newest on backup_archives (tenant_id, changed_at) where state = 'done';
