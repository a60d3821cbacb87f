-- The feed: every change of what identity says about a tenant has a number, and who has read up to a number has missed
-- nothing below it. Numbers alone do not give that: a sequence counts when it is asked and not when the transaction
-- commits, so a reader could see 7, go on behind it, and 6 commits later. So the number is drawn at the very end of the
-- transaction (a deferred trigger) under a lock that is held until after the commit is visible: order of numbers is order
-- of commits. The price is that identity's commits of tenants go one behind the other, for as long as one commit takes.
-- The other way, to read only below the oldest running transaction, costs writers nothing but lets any forgotten session
-- stop the feed, and its numbers do not survive a restore. A trigger, so that a change by hand is told too.
create table tenant_changes (
  tenant_id text collate "C" primary key,
  seq bigint not null unique,
  -- The transaction, for the stream of events to operators, which may show one change twice.
  xact bigint not null
);
create index tenant_changes_xact on tenant_changes (xact);
create sequence tenant_changes_seq owned by tenant_changes.seq;

create function tenant_change_numbered() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('distributed_tenant.changes', 0));
  insert into tenant_changes (tenant_id, seq, xact)
  values (new.id, nextval('tenant_changes_seq'), pg_current_xact_id()::text::bigint)
  on conflict (tenant_id) do update set seq = excluded.seq, xact = excluded.xact;
  return null;
end
$$;
create constraint trigger tenants_told after insert on tenants
  deferrable initially deferred for each row execute function tenant_change_numbered();
create constraint trigger tenants_told_again after update on tenants
  deferrable initially deferred for each row
  when ((old.version, old.name, old.domain, old.settings, old.lifecycle, old.purge_after)
        is distinct from (new.version, new.name, new.domain, new.settings, new.lifecycle, new.purge_after))
  execute function tenant_change_numbered();

insert into tenant_changes (tenant_id, seq, xact)
select id, nextval('tenant_changes_seq'), pg_current_xact_id()::text::bigint from tenants order by updated_at, id;

alter table tenant_services add column changed_by bigint not null default pg_current_xact_id()::text::bigint;
create index tenant_services_changed_by on tenant_services (changed_by);

-- What was answered to an `Idempotency-Key`: written in the transaction of the tenant, so that both are there or neither.
create table idempotency_keys (
  key text primary key,
  body_hash bytea not null,
  tenant_id text collate "C" not null,
  created_at timestamptz not null default now()
);
create index idempotency_keys_created_at on idempotency_keys (created_at);
