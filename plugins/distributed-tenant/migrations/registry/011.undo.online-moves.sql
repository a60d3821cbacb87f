update tenants set moving = null, moving_at = null where moving = 'copying';
alter table tenants drop constraint tenants_moving_check;
alter table tenants add constraint tenants_moving_check check (moving in ('frozen', 'closing'));
alter table transfer_tenants drop column online;
create or replace function tenants_changed() returns trigger language plpgsql as $$
declare
  moved boolean := false;
  reborn boolean := false;
begin
  if tg_op = 'UPDATE' then
    -- Raised further by a service whose registry is older than what it has said already.
    new.revision := greatest(new.revision, old.revision) + 1;
    new.updated_at := now();
    moved := (new.instance, new.moving) is distinct from (old.instance, old.moving);
    reborn := coalesce(new.incarnation <> old.incarnation, false);
  end if;
  if new.lifecycle = 'deleted' then
    new.deleted_at := coalesce(new.deleted_at, now());
  else
    new.deleted_at := null;
    new.purge_after := null;
  end if;
  perform pg_notify('fdt_tenants',
    json_build_object('id', new.id, 'revision', new.revision, 'lifecycle', new.lifecycle, 'moved', moved,
      'reborn', reborn)::text);
  return new;
end
$$;
