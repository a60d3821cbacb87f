-- The registry: this service's truth about each tenant. Two facts, two owners: `lifecycle` is identity's word, ordered by
-- its `version`; `provisioned` is ours. `revision` is raised here at every change, whoever makes it, and orders caches.
create table tenants (
  id text collate "C" primary key
    check (octet_length(id) <= 40 and id ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$' and id !~ '--'),
  name text not null check (name <> ''),
  domain text collate "C" check (domain = lower(domain) and domain <> ''),
  settings jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
  version bigint not null default 0 check (version >= 0),
  lifecycle text not null default 'active' check (lifecycle in ('active', 'suspended', 'deleted')),
  provisioned text not null default 'pending' check (provisioned in ('pending', 'ready', 'failed', 'foreign')),
  schema_version integer,
  certificate text,
  revision bigint not null default 1,
  attempts integer not null default 0,
  step text,
  last_error text,
  next_attempt_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  ready_at timestamptz
);
create index tenants_domain on tenants (domain) where domain is not null and lifecycle <> 'deleted';
create index tenants_unfinished on tenants (next_attempt_at) where provisioned in ('pending', 'failed');
create index tenants_updated_at on tenants (updated_at);

create function tenants_changed() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    new.revision := old.revision + 1;
    new.updated_at := now();
  end if;
  perform pg_notify('fdt_tenants', json_build_object('id', new.id, 'revision', new.revision)::text);
  return new;
end
$$;
create trigger tenants_changed before insert or update on tenants for each row execute function tenants_changed();

-- What must reach the stream, written in the transaction of the change it tells of. Order is kept per tenant.
create table outbox (
  seq bigint generated always as identity primary key,
  message_id text not null unique,
  tenant_id text collate "C" not null,
  subject text not null,
  payload jsonb not null,
  headers jsonb not null default '{}',
  created_at timestamptz not null default now(),
  published_at timestamptz,
  stream_seq bigint,
  attempts integer not null default 0,
  last_error text,
  refused_at timestamptz
);
create index outbox_waiting on outbox (tenant_id, seq) where published_at is null and refused_at is null;
create index outbox_published on outbox (published_at) where published_at is not null;

create function outbox_written() returns trigger language plpgsql as $$
begin
  perform pg_notify('fdt_outbox', '');
  return null;
end
$$;
create trigger outbox_written after insert on outbox for each statement execute function outbox_written();

-- Events that can never work, with the reason, kept until an operator replays or drops them.
create table dead_events (
  id bigint generated always as identity primary key,
  subject text not null,
  stream_seq bigint,
  reason text not null,
  data bytea not null,
  headers jsonb not null default '{}',
  received_at timestamptz not null default now()
);
create unique index dead_events_stream_seq on dead_events (stream_seq, subject) where stream_seq is not null;
