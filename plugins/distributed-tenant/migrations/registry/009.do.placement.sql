-- On which of the service's instances each tenant's database is; `main` is the one of this central database. `moving`:
-- `frozen` while it is copied to another one and takes no writes, `closing` while nobody is let in, until the switch.
alter table tenants add column instance text collate "C" not null default 'main'
  check (instance ~ '^[a-z][a-z0-9]{0,14}$');
alter table tenants add column moving text check (moving in ('frozen', 'closing'));
alter table tenants add column moving_at timestamptz;
create index tenants_elsewhere on tenants (instance) where instance <> 'main';
create index tenants_moving on tenants (id) where moving is not null;

create or replace function tenants_changed() returns trigger language plpgsql as $$
declare
  moved boolean := false;
begin
  if tg_op = 'UPDATE' then
    new.revision := old.revision + 1;
    new.updated_at := now();
    moved := (new.instance, new.moving) is distinct from (old.instance, old.moving);
  end if;
  if new.lifecycle = 'deleted' then
    new.deleted_at := coalesce(new.deleted_at, now());
  else
    new.deleted_at := null;
    new.purge_after := null;
  end if;
  perform pg_notify('fdt_tenants',
    json_build_object('id', new.id, 'revision', new.revision, 'lifecycle', new.lifecycle, 'moved', moved)::text);
  return new;
end
$$;

-- How long writers were refused in a move, in milliseconds, once that is over.
alter table transfer_tenants add column frozen_ms double precision;
