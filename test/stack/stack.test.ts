import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { alive } from '../../stack/processes.js'
import { inheritedEnvironment } from '../../stack/service-environment.js'
import { type StackOptions, startStack } from '../../stack/stack.js'
import { readStackFile } from '../../stack/stack-file.js'
import { until } from '../until.js'

const stub = fileURLToPath(new URL('./stub-service.js', import.meta.url))
const programs: StackOptions['programs'] = { service: () => stub, init: undefined }

t.test('a running stack writes stack.json for its owner alone and removes it', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'stack-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const stack = await startStack({ programs, folder })
  t.teardown(() => stack.stop())
  t.equal(statSync(join(folder, 'stack.json')).mode & 0o777, 0o600)
  const info = readStackFile(folder)
  t.same(Object.keys(info ?? {}).sort(), [
    'adminToken',
    'nats',
    'operatorToken',
    'redis',
    'serviceToken',
    'services',
    'tenantRoleSecret',
  ])
  t.same(Object.keys(info?.services.core.database ?? {}).sort(), ['host', 'name', 'password', 'port', 'user'])
  t.match(info?.nats.url, /^nats:\/\/operator:\w+@127\.0\.0\.1:\d+$/)
  for (const name of ['identity', 'employee', 'core'] as const) {
    t.match(info?.nats.services[name], new RegExp(`^nats://${name}:\\w+@127\\.0\\.0\\.1:\\d+$`))
    t.equal(stack.services[name].env.NATS_URL, info?.nats.services[name])
  }
  await stack.stop()
  t.equal(readStackFile(folder), undefined)
})

t.test('one service stops, starts again on its port, and gets a replica', async t => {
  const stack = await startStack({ programs })
  t.teardown(() => stack.stop())
  const { employee } = stack.services
  const { pid, url } = employee
  await employee.stop()
  t.notOk(employee.running)
  await t.rejects(fetch(url))
  await employee.start()
  t.not(employee.pid, pid)
  await employee.kill()
  await employee.start()
  t.equal(await (await fetch(url)).text(), 'employee-service')
  const replica = await stack.replica('employee')
  t.not(replica.url, url)
  t.equal(await (await fetch(replica.url)).text(), 'employee-service')
  await stack.stop()
  t.notOk(alive(replica.pid ?? 0))
})

t.test('a service that ended by itself is reported with its exit code', async t => {
  const reports: string[] = []
  const stack = await startStack({ programs, serviceDied: message => reports.push(message) })
  t.teardown(() => stack.stop())
  await stack.services.identity.stop()
  await fetch(`${stack.services.core.url}/die`).catch(() => {})
  await until('it is reported', () => reports.length > 0)
  t.equal(reports.length, 1)
  t.match(reports[0], /^core ended with exit code 7/)
})

t.test('a failed start prints the output of the service, and leaves no process', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'stack-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  await t.rejects(startStack({ programs, folder, serviceEnv: { STUB: 'exit' } }), /the stub fails on request/)
  t.equal(readStackFile(folder), undefined)
})

t.test('services do not inherit the launcher’s variables', async t => {
  const env = inheritedEnvironment({ DB_PASSWORD: 'x', CORE_DB_HOST: 'x', INIT_PASSWORD: 'x', TENANT_SPARES: '5' })
  t.same(env, { TENANT_SPARES: '5' })
})
