-- The instances that take no new tenants, as an operator has marked them. One without a row takes them.
create table full_instances (
  name text collate "C" primary key check (name ~ '^[a-z][a-z0-9]{0,14}$'),
  since timestamptz not null default now(),
  marked_by text not null
);

-- A drain of an instance, or a rebalance of all: many moves, each with a run of its own in `transfers`. What became of each tenant
-- is written as it happens, so that a killed one goes on.
create table move_batches (
  id text primary key,
  kind text not null check (kind in ('drain', 'rebalance')),
  -- The instance that is drained.
  instance text collate "C",
  state text not null default 'running' check (state in ('running', 'done', 'stopped')),
  started_at timestamptz not null default now(),
  ended_at timestamptz
);
create table move_batch_tenants (
  batch_id text not null references move_batches on delete cascade,
  tenant_id text collate "C" not null,
  target text collate "C" not null,
  bytes bigint not null,
  state text not null default 'pending' check (state in ('pending', 'moving', 'moved', 'failed')),
  -- Its run in `transfers`, once it is begun.
  transfer_id text,
  error text,
  updated_at timestamptz not null default now(),
  primary key (batch_id, tenant_id)
);
