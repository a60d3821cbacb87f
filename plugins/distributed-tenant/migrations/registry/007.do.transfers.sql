-- The journal of transfers: what moves tenants' data in here from elsewhere. A row says what was begun before it is begun,
-- and what is needed to undo it, so that a killed transfer goes on, or is taken back, from any machine.
create table transfers (
  id text primary key,
  kind text not null,
  -- host:port/database, never a password.
  source text not null,
  state text not null default 'running' check (state in ('running', 'done', 'stopped', 'rolled_back')),
  started_at timestamptz not null default now(),
  ended_at timestamptz
);
create table transfer_tenants (
  transfer_id text not null references transfers on delete cascade,
  tenant_id text collate "C" not null,
  source_database text not null,
  step text not null default 'pending',
  -- What identity is told: name, domain, settings, whether it is active.
  facts jsonb not null,
  -- The version of the tenant migrations that the source's schema is at.
  baseline integer not null,
  bytes bigint not null,
  -- How the source was before it was frozen; null while it is not.
  frozen jsonb,
  certificate text,
  -- Of all rows, as they were handed over: a rollback refuses what has been written since.
  contents text,
  error text,
  updated_at timestamptz not null default now(),
  primary key (transfer_id, tenant_id)
);
