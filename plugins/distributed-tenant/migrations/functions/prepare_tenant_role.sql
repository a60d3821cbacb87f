-- Makes a tenant's role as it must be, whatever it was: attributes, settings, its group and no other, and the only one besides the owner that may
-- connect to its database. TEMPORARY too: a temporary table is seen by its session alone. Whether it may log in is not changed.
-- Applied at a start when its text differs from the one applied last (databases/functions.ts), and from there on the other instances
-- (instances/prepare-instance.ts), so it is changed here and in no migration.
create or replace function prepare_tenant_role(the_role text, the_database text, the_group text) returns void
language plpgsql as $$
declare
  other text;
begin
  if not exists (select from pg_roles where rolname = the_role) then
    execute format('create role %I nologin', the_role);
    -- Sessions of a role that was dropped by hand live on without rights.
    perform pg_terminate_backend(pid) from pg_stat_activity
    where datname = the_database and usesysid not in (select oid from pg_roles);
  end if;
  execute format('alter role %I nocreatedb nocreaterole inherit connection limit -1', the_role);
  execute format('alter role %I reset all', the_role);
  for other in
    select datname from pg_db_role_setting setting join pg_database on pg_database.oid = setdatabase
    where setrole = (select oid from pg_roles where rolname = the_role)
  loop
    execute format('alter role %I in database %I reset all', the_role, other);
  end loop;
  execute format('alter role %I set idle_in_transaction_session_timeout = %L', the_role, '60s');
  for other in
    select roles.rolname from pg_auth_members join pg_roles roles on roles.oid = roleid
    where member = (select oid from pg_roles where rolname = the_role) and roles.rolname <> the_group
  loop
    execute format('revoke %I from %I', other, the_role);
  end loop;
  -- PostgreSQL 16 can give a group's rights without the right to become the group.
  execute format('grant %I to %I %s', the_group, the_role,
    case when current_setting('server_version_num')::int >= 160000 then 'with inherit true, set false' end);
  execute format('revoke all on database %I from public', the_database);
  for other in
    select distinct roles.rolname from pg_database, aclexplode(datacl) as entry join pg_roles roles on roles.oid = grantee
    where datname = the_database and grantee <> datdba and roles.rolname <> the_role
  loop
    -- The login by which the old copy of a moved tenant follows keeps CONNECT, and nothing else: without it the copy would stop, and its slot
    -- would keep the log. Only a superuser makes one that may replicate.
    if exists (select from pg_roles where rolname = other and rolreplication and starts_with(other, 'fdt_move_')) then
      execute format('revoke create, temporary on database %I from %I', the_database, other);
    else
      execute format('revoke all on database %I from %I', the_database, other);
    end if;
  end loop;
  execute format('grant connect, temporary on database %I to %I', the_database, the_role);
end
$$;
