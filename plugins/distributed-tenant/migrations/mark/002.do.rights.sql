-- What a tenant's role may do in its database, by its group: read and write rows and use sequences in every schema but
-- ours, now and in what later migrations make. Functions and types are usable by whoever may connect, which is
-- PostgreSQL's own default, and nobody else may connect. Nothing in `distributed_tenant`.
do $$
declare
  -- tenant_<id>_<service>, template_<service>_<version> or spare_<service>_<number>; an id has no underscore.
  part integer := case when starts_with(current_database(), 'tenant_') then 3 else 2 end;
  tenants text := split_part(current_database(), '_', part) || '_tenant';
  place text;
begin
  revoke all on schema public from public;
  for place in
    select nspname from pg_namespace
    where nspname = 'public'
      or (nspowner = current_user::regrole and nspname <> 'distributed_tenant' and nspname not like 'pg\_%')
  loop
    execute format('grant usage on schema %I to %I', place, tenants);
    execute format('grant select, insert, update, delete on all tables in schema %I to %I', place, tenants);
    execute format('grant usage, select on all sequences in schema %I to %I', place, tenants);
  end loop;
  execute format('alter default privileges grant usage on schemas to %I', tenants);
  execute format('alter default privileges grant select, insert, update, delete on tables to %I', tenants);
  execute format('alter default privileges grant usage, select on sequences to %I', tenants);
end
$$;
