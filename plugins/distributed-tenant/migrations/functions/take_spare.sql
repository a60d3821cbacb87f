-- Makes a spare the database of a tenant, in one statement. Applied at a start when its text differs from the one applied last
-- (databases/functions.ts), so it is changed here and in no migration. It writes "ready" as provisioning/provisioner.ts does:
-- mark, role, row and status event in one transaction. A change of one is a change of both.
create or replace function take_spare(
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
  -- Held until the end: what the mark says is what the row says.
  select * into tenant from tenants where id = the_tenant for no key update;
  if tenant.id is null or tenant.lifecycle = 'deleted' then
    return 'gone';
  end if;
  -- Spares are of this instance: one that was placed on another is made there, whoever asks.
  if tenant.instance <> 'main' then
    return 'work';
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
  execute format('comment on database %I is %L', target, the_mark || json_strip_nulls(
    json_build_object('tenant', the_tenant, 'service', the_service, 'certificate', spare.certificate,
      'incarnation', tenant.incarnation)));
  update tenants set provisioned = 'ready', certificate = spare.certificate, schema_version = the_schema_version,
    attempts = attempts + 1, step = 'ready', last_error = null, next_attempt_at = null,
    ready_at = coalesce(ready_at, now())
  where id = the_tenant returning * into tenant;
  insert into outbox (message_id, tenant_id, subject, headers, payload)
  values (concat_ws(':', the_subject, the_tenant, tenant.revision, left(gen_random_uuid()::text, 8)), the_tenant, the_subject,
    the_headers, jsonb_strip_nulls(jsonb_build_object('incarnation', tenant.incarnation)) || jsonb_build_object(
    'id', the_tenant, 'service', the_service, 'version', tenant.version, 'revision', tenant.revision,
    'attempts', tenant.attempts, 'status', 'ready', 'step', 'ready', 'schemaVersion', the_schema_version,
    'at', to_char(clock_timestamp() at time zone 'UTC', instant),
    'steps', jsonb_build_array(
      jsonb_build_object('step', 'spare', 'at', to_char(begun at time zone 'UTC', instant)),
      jsonb_build_object('step', 'ready', 'at', to_char(clock_timestamp() at time zone 'UTC', instant)))));
  return 'taken';
end
$$;
