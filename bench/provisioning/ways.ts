// Turns a stage into a rival by a superuser's SQL, so that HTTP, outbox, stream, consumer, registry and ledger stay the
// product's own: one that makes each tenant from an empty database by migrating it, one without any database step.

import postgres from 'postgres'
import { serviceNames } from '../../stack/names.js'
import type { Stage } from './stage.js'

/** Empties the templates but for our own mark: a clone is an empty database, and the product migrates it. */
export async function createAndMigrate(stage: Stage): Promise<void> {
  for (const service of serviceNames) {
    const sql = stage.cluster[service]
    const [row] = await sql<{ name: string }[]>`
      select datname as name from pg_database where datistemplate and datname like 'template\\_%\\_%'`
    const name = row?.name ?? ''
    await sql`alter database ${sql(name)} allow_connections true`
    const server = stage.stack.servers?.postgres[service]
    const { host = '', port = 0, user = '', password = '' } = server ?? {}
    const inside = postgres({ host, port, user, password, database: name, max: 1, onnotice() {} })
    const tables = await inside<{ name: string }[]>`
      select relname as name from pg_class where relname like 'bench\\_%' and relkind = 'r'`
    await inside`drop table ${inside(tables.map(table => table.name))} cascade`
    await inside`delete from distributed_tenant.schema_migrations where set = 'tenant'`
    // Without what the dropped tables have left in the catalogues.
    await inside`vacuum full`
    await inside.end()
    await sql`alter database ${sql(name)} allow_connections false`
  }
}

/** Replaces the taking of a spare: registry and outbox in one transaction as ever, and no database touched. */
export async function noDatabaseStep(stage: Stage): Promise<void> {
  for (const service of serviceNames) {
    const sql = stage.central[service]
    const [row] = await sql<{ signature: string }[]>`
      select pg_get_function_arguments(oid) as signature from pg_proc where proname = 'take_spare'`
    if (!row) throw new Error('take_spare is not there: the benchmark has to follow the product')
    await sql.unsafe(`
      create or replace function take_spare(${row.signature}) returns text language plpgsql as $$
      declare
        tenant tenants;
        instant text := 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"';
      begin
        if not pg_try_advisory_xact_lock(hashtextextended('distributed_tenant.provision:' || the_tenant, 0)) then
          return 'busy';
        end if;
        update tenants set provisioned = 'ready', certificate = md5(random()::text),
          schema_version = the_schema_version, role_key = the_key, attempts = attempts + 1, step = 'ready',
          last_error = null, next_attempt_at = null, ready_at = now()
        where id = the_tenant and lifecycle <> 'deleted' and provisioned <> 'ready' returning * into tenant;
        if tenant.id is null then
          return 'ready';
        end if;
        insert into outbox (message_id, tenant_id, subject, payload)
        values (format('%s:%s:%s', the_subject, the_tenant, tenant.revision), the_tenant, the_subject, jsonb_build_object(
          'id', the_tenant, 'service', the_service, 'version', tenant.version, 'revision', tenant.revision,
          'attempts', tenant.attempts, 'status', 'ready', 'step', 'ready', 'schemaVersion', the_schema_version,
          'at', to_char(clock_timestamp() at time zone 'UTC', instant), 'steps', '[]'::jsonb));
        return 'taken';
      end
      $$`)
  }
}
