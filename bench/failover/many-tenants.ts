// A registry of many tenants without the disk of their databases: one tenant is made by the product, and its rows in the registries, in
// identity's ledger and in the catalogues of PostgreSQL (database, role, mark, rights) are written again under other names by the
// superuser. What a service reads at its start and in a comparison is complete; a database of these has no files, and none is opened.
import { markText } from '../../plugins/distributed-tenant/databases/marks.js'
import type { TenantId } from '../../plugins/distributed-tenant/types.js'
import { type ServiceName, serviceNames } from '../../stack/names.js'
import { type Stage, until } from '../provisioning/stage.js'

const MODEL = 'model-tenant'
/** Above every number that PostgreSQL gives in a fresh instance. */
const FIRST_OID = 100_000_000

export async function fillRegistry(stage: Stage, count: number): Promise<void> {
  await stage.create(MODEL)
  for (const name of serviceNames) await stage.stack.services[name].stop()
  await Promise.all(serviceNames.map(service => fillInstance(stage, service, count)))
}

async function fillInstance({ cluster, central }: Stage, service: ServiceName, count: number): Promise<void> {
  const model = `tenant_${MODEL}_${service}`
  const registry = central[service]
  // Identity draws the incarnation, and every service has the same; the certificate is each service's own.
  await registry.begin(async sql => {
    await sql`
      insert into tenants
      select (jsonb_populate_record(model, jsonb_build_object('id', 'many-' || n, 'name', 'many-' || n,
        'certificate', md5(n || current_database()), 'incarnation', md5('incarnation' || n)))).*
      from tenants model, generate_series(1, ${count}::int) n where model.id = ${MODEL}`
    if (service === 'identity')
      await sql`
        insert into tenant_services
        select (jsonb_populate_record(model, jsonb_build_object('tenant_id', 'many-' || n,
          'incarnation', md5('incarnation' || n)))).*
        from tenant_services model, generate_series(1, ${count}::int) n where model.tenant_id = ${MODEL}`
  })
  await registry`vacuum analyze tenants`
  const made = await registry<{ id: TenantId; certificate: string; incarnation: string }[]>`
    select id, certificate, incarnation from tenants where id like 'many-%'`
  const marks = made.map(({ id, ...row }) => ({
    database: `tenant_${id}_${service}`,
    mark: markText({ tenant: id, service: service as never, ...row }),
  }))
  await cluster[service].begin(async sql => {
    await sql`set local allow_system_table_mods = on`
    await sql.unsafe(`
      do $$ begin
        for n in 1..${count} loop
          execute format('create role %I login in role %I', 'tenant_many-' || n || '_${service}', '${service}_tenant');
          execute format('alter role %I set idle_in_transaction_session_timeout = ''60s''', 'tenant_many-' || n || '_${service}');
        end loop;
      end $$`)
    await sql.unsafe(`
      insert into pg_database select (jsonb_populate_record(model, jsonb_build_object(
        'oid', ${FIRST_OID} + n, 'datname', 'tenant_many-' || n || '_${service}',
        'datacl', replace(model.datacl::text, '${MODEL}', 'many-' || n)))).*
      from pg_database model, generate_series(1, ${count}) n where model.datname = '${model}'`)
    await sql`
      insert into pg_shdescription (objoid, classoid, description)
      select oid, 'pg_database'::regclass, mark
      from jsonb_to_recordset(${sql.json(marks)}) as made(database text, mark text)
        join pg_database on datname = made.database`
  })
}

/** @throws when a service has found anything to do about them */
export async function checkUntouched({ central }: Stage, count: number): Promise<void> {
  for (const service of serviceNames) {
    const [row] = await central[service]<[{ ready: number; waiting: number }]>`
      select count(*) filter (where provisioned = 'ready')::int as ready,
        (select count(*)::int from outbox where published_at is null) as waiting from tenants where id like 'many-%'`
    if (row.ready !== count || row.waiting > 0)
      throw new Error(`${service} has ${row.ready} of ${count} tenants ready, and ${row.waiting} events waiting`)
  }
}

/** Its audit of the rows that were written is no part of what is measured. */
export async function auditWritten({ central }: Stage): Promise<void> {
  await until('identity has audited what was written', async () => {
    const [row] = await central.identity<[{ waiting: number }]>`select count(*)::int as waiting from audit_inbox`
    return row.waiting === 0
  })
}
