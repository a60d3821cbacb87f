-- Spares: migrated databases without a tenant, each with its role and certificate, open to no connection. A row stands for a finished one; a
-- database `spare_%` without a row was never finished and may be dropped. Numbers are never used twice.
create table spares (
  name text collate "C" primary key,
  template text not null,
  certificate text not null,
  made_at timestamptz not null default now()
);
create sequence spare_numbers;

-- Which template each release still clones from, so that the last one to leave an old template can drop it.
create table templates (
  name text collate "C" primary key,
  version integer not null,
  used_at timestamptz not null default now()
);

-- The id of the key that the tenant's role was last given its verifier by.
alter table tenants add column role_key text;

-- A tenant's role as it must be, whatever it was: attributes, settings, its group and no other, and the only one besides
-- the owner that may connect to its database. TEMPORARY too: a temporary table is seen by its session alone.
-- Whether it may log in is not changed.
create function prepare_tenant_role(the_role text, the_database text, the_group text) returns void
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
    execute format('revoke all on database %I from %I', the_database, other);
  end loop;
  execute format('grant connect, temporary on database %I to %I', the_database, the_role);
end
$$;

-- Lets a tenant's role log in by the verifier, and notes by which key that was made.
create function open_tenant_role(the_tenant text, the_role text, the_verifier text, the_key text) returns void
language plpgsql as $$
begin
  execute format('alter role %I login password %L', the_role, the_verifier);
  update tenants set role_key = the_key where id = the_tenant;
end
$$;

-- Makes a spare the tenant's: one statement, one transaction, all or nothing. Returns
--   taken    it is ready now            ready  it was ready already, in this schema version and by this key
--   gone     unknown or deleted         busy   another process works on it
--   none     no spare of this template  work   it has something already: look at it step by step
create function take_spare(
  the_tenant text, the_service text, the_template text, the_schema_version integer,
  the_verifier text, the_key text, the_mark text, the_subject text, the_headers jsonb, begun timestamptz
) returns text language plpgsql as $$
declare
  tenant tenants;
  spare spares;
  target text := format('tenant_%s_%s', the_tenant, the_service);
  instant text := 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"';
begin
  -- The lock of the provisioner, which holds it for its session.
  if not pg_try_advisory_xact_lock(hashtextextended('distributed_tenant.provision:' || the_tenant, 0)) then
    return 'busy';
  end if;
  select * into tenant from tenants where id = the_tenant;
  if tenant.id is null or tenant.lifecycle = 'deleted' then
    return 'gone';
  end if;
  if exists (select from pg_roles where rolname = target) then
    return case when tenant.provisioned = 'ready' and tenant.schema_version >= the_schema_version
      and tenant.role_key = the_key then 'ready' else 'work' end;
  end if;
  if tenant.certificate is not null or exists (select from pg_database where datname = target) then
    return 'work';
  end if;
  select * into spare from spares where template = the_template order by made_at limit 1 for update skip locked;
  if spare.name is null then
    return 'none';
  end if;
  delete from spares where name = spare.name;
  execute format('alter database %I rename to %I', spare.name, target);
  execute format('alter database %I allow_connections true', target);
  execute format('alter role %I rename to %I', spare.name, target);
  perform open_tenant_role(the_tenant, target, the_verifier, the_key);
  execute format('comment on database %I is %L', target, the_mark || json_build_object(
    'tenant', the_tenant, 'service', the_service, 'certificate', spare.certificate));
  update tenants set provisioned = 'ready', certificate = spare.certificate, schema_version = the_schema_version,
    attempts = attempts + 1, step = 'ready', last_error = null, next_attempt_at = null,
    ready_at = coalesce(ready_at, now())
  where id = the_tenant returning * into tenant;
  insert into outbox (message_id, tenant_id, subject, headers, payload)
  values (format('%s:%s:%s', the_subject, the_tenant, tenant.revision), the_tenant, the_subject,
    the_headers, jsonb_build_object(
    'id', the_tenant, 'service', the_service, 'version', tenant.version, 'revision', tenant.revision,
    'attempts', tenant.attempts, 'status', 'ready', 'step', 'ready', 'schemaVersion', the_schema_version,
    'at', to_char(clock_timestamp() at time zone 'UTC', instant),
    'steps', jsonb_build_array(
      jsonb_build_object('step', 'spare', 'at', to_char(begun at time zone 'UTC', instant)),
      jsonb_build_object('step', 'ready', 'at', to_char(clock_timestamp() at time zone 'UTC', instant)))));
  return 'taken';
end
$$;
