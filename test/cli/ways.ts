// What the command asks of the services' operator API, and when it opens databases instead: parts of commands.test.ts, on its stack.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import postgres from 'postgres'
import type { Test } from 'tap'
import { freePort } from '../../stack/servers/ports.js'
import type { RunningStack } from '../../stack/stack.js'
import type { StackInfo } from '../../stack/stack-file.js'
import { until } from '../until.js'
import type { OperatorCommands, Outcome } from './operator-commands.js'

export interface WaysStand {
  readonly stack: RunningStack
  readonly folder: string
  readonly run: OperatorCommands['run']
}

export const readToken = 'a-token-that-may-read-only'

type File = { -readonly [K in keyof StackInfo]?: StackInfo[K] }
const api = { way: 'operator API' }

export function waysOfCommands(t: Test, { stack, folder, run }: WaysStand): void {
  let files = 0
  /** The stack's file, changed. */
  const configured = (change: (file: File & Pick<StackInfo, 'services'>) => void): string => {
    const file = JSON.parse(readFileSync(join(folder, 'stack.json'), 'utf8'))
    change(file)
    const path = join(folder, `changed-${++files}.json`)
    writeFileSync(path, JSON.stringify(file))
    return path
  }
  const document = ({ code, out, err }: Outcome) => {
    if (code !== 0) throw new Error(`${code}: ${err}`)
    return JSON.parse(out)
  }
  const whole = () => configured(() => {})
  const central = (t: Test, name: 'identity' | 'employee' | 'core') => {
    const { name: database, user: username, host, port, password } = stack.info.services[name].database
    const sql = postgres({ host, port, database, username, password, max: 1, onnotice: () => {} })
    t.teardown(() => sql.end({ timeout: 1 }))
    return sql
  }

  t.test('services that answer are asked, and say the same as their databases', async t => {
    const config = whole()
    const lists = [['status'], ['instances', 'list'], ['migrate', '--list'], ['dead', 'list']]
    for (const args of lists) {
      const asked = document(await run(['--config', config, '--json', ...args]))
      const opened = document(await run(['--config', config, '--json', '--direct', ...args]))
      t.match(asked.through, { identity: api, employee: api, core: api }, args.join(' '))
      const direct = { way: 'database', because: '--direct' }
      t.same(opened.through, { identity: direct, employee: direct, core: direct })
      const { through: _, ...facts } = asked
      const { through: __, ...same } = opened
      t.same(facts, same)
    }
    const said = await run(['--config', config, 'status'])
    t.equal(said.err, 'Asked the operator API of identity, employee, core.\n')
    t.equal((await run(['--config', config, '--quiet', 'status'])).err, '')
    const show = ['--json', 'show', 'acme']
    const byToken = document(await run(['--config', config, ...show]))
    const byAdmin = document(await run(['--config', config, '--direct', ...show]))
    t.match([byToken.through, byAdmin.through], [{ identity: api }, { identity: { way: 'admin token' } }])
    t.same({ ...byToken, through: 0 }, { ...byAdmin, through: 0 })
    const ids = async (...more: string[]) =>
      document(await run(['--config', config, '--json', ...more])).tenants.map(({ id }: { id: string }) => id)
    t.same(await ids('list'), await ids('--direct', 'list'))
    t.same(await ids('list', '--lifecycle', 'deleted'), await ids('--direct', 'list', '--lifecycle', 'deleted'))
  })

  t.test('a change is an audit row with the operator’s name, and needs no admin token', async t => {
    const config = configured(file => {
      delete file.adminToken
    })
    t.match(document(await run(['--config', config, '--json', 'suspend', 'acme'])), { lifecycle: 'suspended' })
    t.match(document(await run(['--config', config, '--json', 'activate', 'acme'])), { lifecycle: 'active' })
    const key = ['--idempotency-key', 'ways-once']
    const made = ['create', 'Ways', '--id', 'ways', ...key]
    t.match(document(await run(['--config', config, '--json', ...made])), { id: 'ways', status: 'ready' })
    t.equal((await run(['--config', config, ...made])).code, 0, 'a repeated call makes no second one')
    t.match(document(await run(['--config', config, '--json', 'remove', 'ways', '--yes'])), { lifecycle: 'deleted' })
    const sql = central(t, 'identity')
    const rows = await until('the rows are written', async () => {
      const found = await sql`
        select actor, detail->>'route' as route from audit_log
        where kind = 'admin' and actor like '%@%' and detail->>'route' like '/api/operator/fleet%'`
      return found.length >= 5 ? found : undefined
    })
    const routes = new Set(rows.map(({ route }) => route.split('/').at(-1)))
    t.same(routes, new Set(['fleet', 'suspend', 'activate', 'remove']))
    const unknown = await run(['--config', config, 'show', 'nobody'])
    t.equal(unknown.code, 1)
    t.match(unknown.err, /TENANT_NOT_FOUND/)
  })

  t.test('dead events are shown and dropped by number, with the rights of the token', async t => {
    const sql = central(t, 'core')
    const [row] = await sql`
      insert into dead_events (subject, reason, data) values ('tenant.created', 'no JSON', ${Buffer.from('{')}) returning id::text`
    const { id } = row as { id: string }
    const dead = (...args: string[]) => ['dead', ...args, '--service', 'core']
    const config = whole()
    t.match(document(await run(['--config', config, '--json', ...dead('show', id)])), {
      data: '{',
      through: { core: api },
    })
    const missing = await run(['--config', config, ...dead('show', '999999')])
    t.match(missing, { code: 1, err: /There is no dead event 999999/ })
    t.match(await run(['--config', config, ...dead('replay', id)]), { code: 1, err: /1 of 1 failed again/ })
    const reader = configured(file => {
      file.operatorToken = readToken
    })
    t.match(await run(['--config', reader, ...dead('drop', id)]), { code: 1, err: /OPERATOR_FORBIDDEN: .*administer/ })
    t.match(document(await run(['--config', config, '--json', ...dead('drop', id)])), { dropped: [id] })
    t.match(await run(['--config', config, ...dead('drop', id)]), { code: 3, err: /Not there, or resolved/ })
  })

  t.test('a wrong token and a wrong address are errors, and no reason to open a database', async t => {
    const token = 'a-token-of-nobody-at-all'
    const config = configured(file => {
      file.operatorToken = token
    })
    for (const args of [['status'], ['show', 'acme'], ['dead', 'list'], ['--json', 'instances', 'list']]) {
      const { code, out, err } = await run(['--config', config, ...args])
      t.same([code, out], [1, ''], args.join(' '))
      t.match(err, /UNAUTHENTICATED: \w+ at \S+ refuses the operator token of .*--direct/)
      t.notMatch(err, token)
    }
    t.equal((await run(['--config', config, '--direct', 'status'])).code, 0)
    const crossed = configured(file => {
      file.services.employee.url = file.services.core.url
    })
    t.match(await run(['--config', crossed, 'dead', 'list']), { code: 2, err: /is the service core, and not employee/ })
  })

  t.test('without a token or an address the databases are opened, and it says so', async t => {
    const none = configured(file => {
      delete file.operatorToken
    })
    const plain = await run(['--config', none, 'status'])
    t.match(plain, { code: 0, err: /^Opened the database of identity, employee, core: \S+ has no operator token/ })
    const silent = await run(['--config', none, '--json', 'status'])
    t.match(document(silent).through.core, { way: 'database', because: /no operator token/ })
    t.equal(silent.err, '', 'a document says it itself')
    t.match(await run(['--config', none, 'retry', 'acme']), {
      code: 0,
      err: /with the admin token: .*no operator token/,
    })
    const { database, url } = stack.info.services.core
    const env = {
      SERVICE_NAME: 'core-service',
      DB_HOST: database.host,
      DB_PORT: String(database.port),
      DB_USERNAME: database.user,
      DB_PASSWORD: database.password,
      OPERATOR_TOKEN: `read:${readToken}`,
    }
    t.match(document(await run(['status', '--json'], env)).through.core, { because: /no address of it \(CORE_URL/ })
    t.match(document(await run(['status', '--json'], { ...env, CORE_URL: url })).through.core, { ...api, url })
  })

  t.test('a service that is down is read in its database, and with both down nothing is said of it', async t => {
    const config = whole()
    await stack.services.core.stop()
    const { code, out, err } = await run(['--config', config, 'status'])
    t.equal(code, 0, err)
    t.match(out, /acme +ready \d+ +ready \d+ +ready \d+/)
    t.match(
      err,
      /Asked the operator API of identity, employee\. Opened the database of core: \S+ does not answer \(ECONNREFUSED\)\./,
    )
    const read = await run(['--config', config, '--json', 'dead', 'list'])
    t.match(document(read).through, { employee: api, core: { way: 'database', because: /does not answer/ } })
    t.match(read.err, /core: \S+ does not answer/, 'a fault is said at once')
    const closed = await freePort()
    const both = configured(file => {
      file.services.core.database.port = closed
      file.services.identity.url = `http://127.0.0.1:${closed}`
    })
    const unknown = await run(['--config', both, '--service', 'core', 'dead', 'show', '1'])
    t.equal(unknown.code, 1)
    t.match(unknown.err, /cannot be reached.*Its operator API was asked before: core: \S+ does not answer/s)
    t.notMatch(unknown.err, /There is no dead event/)
    const away = await run(['--config', both, 'suspend', 'acme'])
    t.match(away, { code: 1, err: /identity at \S+ does not answer/ })
    await stack.services.core.start()
  })
}
