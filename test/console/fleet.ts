// A fleet with something to see on every page: tenants, a dead event, a run that stopped, rights that were taken.
import postgres from 'postgres'
import type { ServiceName } from '../../stack/names.js'
import type { RunningStack } from '../../stack/stack.js'
import { until } from '../until.js'
import { tokens } from './browser.js'

export const centralOf = ({ info }: RunningStack, service: ServiceName): postgres.Sql => {
  const { host, port, user, password, name } = info.services[service].database
  return postgres({ host, port, user, password, database: name, max: 1, onnotice() {} })
}

export async function operator(
  stack: RunningStack,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${stack.info.services.identity.url}/api/operator${path}`, {
    method,
    headers: {
      authorization: `Bearer ${tokens.administer}`,
      'operator-name': 'Grace',
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? null : JSON.parse(text) }
}

export async function makeTenants(stack: RunningStack, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const id = name.toLowerCase().replaceAll(' ', '-')
    await operator(stack, 'POST', '/fleet', { id, name: `${name} Corporation`, domain: `${id}.example.com` })
  }
  await until('the tenants are ready', async () => {
    const { body } = await operator(stack, 'GET', '/fleet/counts')
    return (body as { ready: number }).ready >= names.length
  })
}

export async function makeTrouble(stack: RunningStack): Promise<void> {
  const employee = centralOf(stack, 'employee')
  const core = centralOf(stack, 'core')
  try {
    await employee`
      insert into dead_events (subject, stream_created, stream_seq, reason, parked, data, headers) values
      ('tenant.created', now(), 900001, 'the body is no JSON', false, ${Buffer.from('{"id":"umbrella",')}, '{}'),
      ('tenant.created', now(), 900002, 'was faulty', false, ${Buffer.from('{"id":"acme","name":"Acme Corporation"}')},
       '{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}')`
    await core`
      insert into migration_runs (id, target, state, reason, started_at, ended_at) values
      ('20261128-7d31aa', 2, 'stopped', 'more than 5 % have failed', now() - interval '2 hours', now() - interval '118 minutes')`
    await core`
      insert into migration_run_tenants (run_id, tenant_id, from_version, state, error, ms) values
      ('20261128-7d31aa', 'acme', 1, 'done', null, 41), ('20261128-7d31aa', 'globex', 1, 'done', null, 38),
      ('20261128-7d31aa', 'hooli', 1, 'failed', 'column "started_on" of relation "leave_requests" already exists', 12),
      ('20261128-7d31aa', 'initech', 1, 'pending', null, null)`
    await core`
      insert into backup_runs (id, target, actor, state, started_at) values
      ('20261130-b0c4e1', '/backups/2026-11-30', 'root@ops-1', 'running', now() - interval '40 seconds')`
    await core`
      insert into backup_archives (run_id, tenant_id, state, bytes) values
      ('20261130-b0c4e1', 'acme', 'done', 182044), ('20261130-b0c4e1', 'globex', 'done', 175310),
      ('20261130-b0c4e1', 'hooli', 'running', null), ('20261130-b0c4e1', null, 'pending', null)`
  } finally {
    await employee.end()
    await core.end()
  }
}
