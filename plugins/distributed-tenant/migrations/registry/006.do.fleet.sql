-- Runs of a migration over all tenants: what each run set out to do and how far it has got, so that a killed one goes on
-- and a bad one is taken back.
create table migration_runs (
  id text primary key,
  target integer not null check (target >= 0),
  state text not null default 'running' check (state in ('running', 'done', 'stopped', 'rolled_back')),
  reason text,
  started_at timestamptz not null default now(),
  ended_at timestamptz
);
create table migration_run_tenants (
  run_id text not null references migration_runs on delete cascade,
  tenant_id text collate "C" not null,
  -- The version it had when the run began: what a rollback returns to.
  from_version integer not null,
  state text not null default 'pending' check (state in ('pending', 'done', 'failed', 'rolled_back')),
  error text,
  ms real,
  primary key (run_id, tenant_id)
);
create index migration_run_tenants_state on migration_run_tenants (run_id, state);
