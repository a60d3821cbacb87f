alter table transfer_tenants drop column frozen_ms;
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
drop index tenants_moving;
drop index tenants_elsewhere;
alter table tenants drop column moving_at, drop column moving, drop column instance;
