// From one version of PostgreSQL to a newer one, tenant by tenant: by a move to an instance of 17 beside the
// existing one, and by an archive. The way back is refused, with its requirements.
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { type RunningStack, startStack } from '../../stack/stack.js'
import { noPostgres, otherPostgres } from '../other-postgres.js'
import { until } from '../until.js'
import { moveStand } from './move-stand.js'

const program = fileURLToPath(new URL('../../cli/main.js', import.meta.url))

t.test('a tenant moves to an instance of PostgreSQL 17 while it is served, and not back', async t => {
  const bin = otherPostgres(t, 17)
  if (bin === null) return void t.pass(noPostgres(17), { skip: true })
  const stand = await moveStand(t, bin)
  const { app, look, command, place, write, count } = stand
  const version = async (instance: string) =>
    Number((await look(instance)`select current_setting('server_version_num')::int / 10000 as major`)[0]?.major)
  t.same([(await version('employee')) < 17, await version('b')], [true, 17])

  await app.tenants.create({ id: 'acme', name: 'Acme' })
  let accepted = 0
  let writing = true
  const writer = (async () => {
    while (writing) {
      const refused = await write('acme', `note ${accepted}`)
      if (refused === null) accepted++
      else t.equal(refused, 'TENANT_MOVING')
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  })()
  await until('it writes', () => accepted > 0)
  const moved = await command(['--json', 'move', 'acme', '--to', 'b', '--room', '1TB', '--frozen', '--yes'])
  t.equal(moved.code, 0, moved.out + moved.err)
  t.match(await place('acme'), { instance: 'b', moving: null })
  const before = accepted
  t.equal(await write('acme', 'on the newer one'), null)
  writing = false
  await writer
  t.ok(before > 0)
  t.equal(await count('acme'), accepted + 1, 'every accepted write is there, and nothing else')

  const back = await command(['move', 'acme', '--to', 'main', '--room', '1TB', '--frozen', '--yes'])
  t.equal(back.code, 1)
  t.match(back.out, /main +is PostgreSQL \d+, older than 17 on b/)
  t.match(back.out, /install postgresql-client-17/)
  t.match(await place('acme'), { instance: 'b', moving: null })
  await app.tenants.create({ id: 'globex', name: 'Globex' })
  t.match(await place('globex'), { instance: 'main' }, 'the less full one, whatever its version')
})

t.test('an archive of the older one is restored on PostgreSQL 17', async t => {
  const bin = otherPostgres(t, 17)
  if (bin === null) return void t.pass(noPostgres(17), { skip: true })
  const folder = mkdtempSync(join(tmpdir(), 'upgrade-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const archive = join(folder, 'acme.tar')

  const older = await stackAt(t, join(folder, 'older'))
  await older.done('create', 'Acme', '--id', 'acme')
  t.equal(await departments(older.stack, { name: 'Engineering', code: 'ENG' }), 201)
  await older.done('backup', 'acme', '--to', archive)
  await older.stack.stop()

  const newer = await stackAt(t, join(folder, 'newer'), bin)
  await newer.done('restore', archive, '--as', 'acme', '--yes')
  t.match(await departments(newer.stack), { items: [{ name: 'Engineering', code: 'ENG' }] })
  await newer.done('verify', 'acme')
  await newer.done('doctor', '--deep')
})

async function stackAt(t: Test, folder: string, bin?: string) {
  const { PATH = '' } = process.env
  // A stack takes the first servers that PATH has; the command keeps this machine's programs.
  if (bin) process.env.PATH = `${bin}${delimiter}${PATH}`
  const stack = await startStack({ folder }).finally(() => {
    process.env.PATH = PATH
  })
  t.teardown(() => stack.stop())
  const done = (...args: string[]) =>
    new Promise<void>(resolve => {
      const all = [program, '--config', join(folder, 'stack.json'), ...args]
      execFile(process.execPath, all, { cwd: folder, env: { PATH } }, (error, out, err) => {
        t.equal(error, null, `${args.join(' ')}: ${out}${err}`)
        resolve()
      })
    })
  return { stack, done }
}

/** Creates one when there is a body. @returns its status, or the list */
async function departments(stack: RunningStack, body?: object): Promise<unknown> {
  const response = await fetch(new URL('/api/departments', stack.info.services.core.url), {
    method: body ? 'POST' : 'GET',
    headers: { 'HRMS-Client-ID': 'acme', 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  })
  return body ? response.status : response.json()
}
