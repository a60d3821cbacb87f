-- The end of a tenant, and what identity's feed has told us. `removed`: its database here is gone; the row stays for ever,
-- so that the id is never taken again. `purge_after` is identity's word and says from when the database may be dropped.
alter table tenants drop constraint tenants_provisioned_check;
alter table tenants add constraint tenants_provisioned_check
  check (provisioned in ('pending', 'ready', 'failed', 'foreign', 'removed'));
alter table tenants add column deleted_at timestamptz;
alter table tenants add column purge_after timestamptz;
update tenants set deleted_at = updated_at where lifecycle = 'deleted';
create index tenants_to_purge on tenants (purge_after) where lifecycle = 'deleted' and provisioned <> 'removed';

create or replace function tenants_changed() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    new.revision := old.revision + 1;
    new.updated_at := now();
  end if;
  if new.lifecycle = 'deleted' then
    new.deleted_at := coalesce(new.deleted_at, now());
  else
    new.deleted_at := null;
    new.purge_after := null;
  end if;
  perform pg_notify('fdt_tenants',
    json_build_object('id', new.id, 'revision', new.revision, 'lifecycle', new.lifecycle)::text);
  return new;
end
$$;

-- How far identity's feed has been read here, by whichever replica; moved in the transaction that applies what was read.
create table feed_cursor (
  only_row boolean primary key default true check (only_row),
  seq bigint not null default 0,
  read_at timestamptz
);
insert into feed_cursor default values;
