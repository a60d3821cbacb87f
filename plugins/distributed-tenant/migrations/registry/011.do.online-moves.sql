-- `copying`: the tenant is copied to another instance while it is read and written; nothing else may change its database.
alter table tenants drop constraint tenants_moving_check;
alter table tenants add constraint tenants_moving_check check (moving in ('copying', 'frozen', 'closing'));

-- Of a move without a freeze: what was made for it on the two instances, and what of it must be set back.
alter table transfer_tenants add column online jsonb;

-- As before, with the state of the move: while it is `closing`, a process lets new statements of the tenant wait.
create or replace function tenants_changed() returns trigger language plpgsql as $$
declare
  moved boolean := false;
  reborn boolean := false;
begin
  if tg_op = 'UPDATE' then
    -- Raised further by a service whose registry is older than what it has said already.
    new.revision := greatest(new.revision, old.revision) + 1;
    new.updated_at := now();
    moved := new.instance is distinct from old.instance
      or nullif(new.moving, 'copying') is distinct from nullif(old.moving, 'copying');
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
      'moving', new.moving, 'reborn', reborn)::text);
  return new;
end
$$;
