drop table feed_cursor;
create or replace function tenants_changed() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    new.revision := old.revision + 1;
    new.updated_at := now();
  end if;
  perform pg_notify('fdt_tenants', json_build_object('id', new.id, 'revision', new.revision)::text);
  return new;
end
$$;
drop index tenants_to_purge;
alter table tenants drop column purge_after;
alter table tenants drop column deleted_at;
-- A tenant whose database is gone stays refused by its lifecycle.
update tenants set provisioned = 'failed' where provisioned = 'removed';
alter table tenants drop constraint tenants_provisioned_check;
alter table tenants add constraint tenants_provisioned_check
  check (provisioned in ('pending', 'ready', 'failed', 'foreign'));
