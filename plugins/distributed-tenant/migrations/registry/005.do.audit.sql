-- The audit log. Rows come from processes, each with a hash chain of its own: a row holds the hash of the one before it,
-- so that a changed, removed or inserted row shows. Partitions are made by the month; what is older than the retention is
-- dropped as a whole, after its heads were sealed.
create table audit_log (
  chain uuid not null,
  seq bigint not null check (seq > 0),
  at timestamptz not null,
  kind text not null,
  result text not null,
  tenant_id text collate "C",
  actor text,
  request_id text,
  -- json, not jsonb: the hash is of the text as it was written.
  detail json not null default '{}',
  hash text not null,
  primary key (chain, seq, at)
) partition by range (at);
create index audit_log_tenant on audit_log (tenant_id, at);

-- How far each chain had come at the end of a month: what a verification starts from when earlier months are gone.
create table audit_heads (
  month date not null,
  chain uuid not null,
  seq bigint not null,
  hash text not null,
  sealed_at timestamptz not null default now(),
  primary key (month, chain)
);

-- Changes of tenants, written down in the transaction that makes them, whoever makes it. A process moves them into its chain.
create table audit_inbox (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  kind text not null,
  tenant_id text collate "C" not null,
  actor text,
  detail json not null
);

create function audit_tenant_change() returns trigger language plpgsql as $$
begin
  insert into audit_inbox (kind, tenant_id, actor, detail) values (
    'tenant', new.id, coalesce(nullif(current_setting('fdt.actor', true), ''), current_user),
    json_strip_nulls(json_build_object(
      'lifecycle', new.lifecycle, 'was', case when tg_op = 'UPDATE' then old.lifecycle end,
      'provisioned', new.provisioned, 'wasProvisioned', case when tg_op = 'UPDATE' then old.provisioned end,
      'version', new.version, 'step', case when new.provisioned in ('failed', 'foreign') then new.step end)));
  return null;
end
$$;
create trigger audit_tenant_insert after insert on tenants for each row execute function audit_tenant_change();
-- Attempts and steps are no change of the tenant.
create trigger audit_tenant_update after update on tenants for each row
  when ((old.lifecycle, old.provisioned, old.version) is distinct from (new.lifecycle, new.provisioned, new.version))
  execute function audit_tenant_change();
-- The audit plugin switches them on. Without it nobody would empty the inbox.
alter table tenants disable trigger audit_tenant_insert;
alter table tenants disable trigger audit_tenant_update;

-- Rows are added and never changed. This binds everybody but whoever may drop the trigger: the owner.
create function audit_refuse() returns trigger language plpgsql as $$
begin
  raise exception 'audit rows are added and never changed' using errcode = '42501';
end
$$;
create trigger audit_log_append_only before update or delete on audit_log
  for each row execute function audit_refuse();
create trigger audit_log_no_truncate before truncate on audit_log
  for each statement execute function audit_refuse();

-- The role that rows are written through: it may insert into the log and nothing else.
do $$
declare
  writer text := current_user || '_audit';
begin
  if not exists (select 1 from pg_roles where rolname = writer) then
    execute format('create role %I nologin', writer);
  end if;
  execute format('grant %I to %I', writer, current_user);
  execute format('grant usage on schema public to %I', writer);
  execute format('grant insert on audit_log to %I', writer);
end
$$;
