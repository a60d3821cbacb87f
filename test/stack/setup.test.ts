import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const setup = fileURLToPath(new URL('../../../stack/setup.mjs', import.meta.url))

t.test('without servers and without root, setup prints the command to run and changes nothing', async t => {
  const env = { PATH: '/nonexistent', SERVER_FOLDERS: '', SETUP_WITHOUT_ROOT: '1' }
  const { status, stderr } = spawnSync(process.execPath, [setup], { env, encoding: 'utf8' })
  t.equal(status, 1)
  t.match(stderr, /not on this machine: initdb, nats-server, redis-server/)
  t.match(stderr, /docker compose up/)
})

t.test('it installs the packages once for each lock file', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'setup-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'stack'))
  mkdirSync(join(folder, 'bin'))
  copyFileSync(setup, join(folder, 'stack/setup.mjs'))
  const calls = join(folder, 'calls')
  for (const name of ['npm', 'npx']) {
    const file = join(folder, 'bin', name)
    const install = '[ "$1" != ci ] || { rm -rf node_modules && mkdir node_modules && exit $FAILS; }'
    writeFileSync(file, `#!/bin/sh\necho "${name} $*" >> '${calls}'\n${name === 'npm' ? install : ''}\n`)
    chmodSync(file, 0o755)
  }
  const given = Object.fromEntries(
    ['IDENTITY_DB_HOST', 'EMPLOYEE_DB_HOST', 'CORE_DB_HOST', 'NATS_URL', 'REDIS_URL'].map(name => [name, 'x']),
  )
  const installs = (lock: string, more: Record<string, string> = {}) => {
    writeFileSync(join(folder, 'package-lock.json'), lock)
    rmSync(calls, { force: true })
    const PATH = `${join(folder, 'bin')}:${dirname(process.execPath)}:/usr/bin:/bin`
    const { status } = spawnSync(process.execPath, [join(folder, 'stack/setup.mjs')], {
      env: { PATH, FAILS: '0', ...given, ...more },
    })
    const called = existsSync(calls) ? readFileSync(calls, 'utf8') : ''
    return { status, installed: called.includes('npm ci'), compiled: called.includes('npm run build') }
  }
  t.same(installs('one', { FAILS: '1' }), { status: 1, installed: true, compiled: false })
  t.same(installs('one'), { status: 0, installed: true, compiled: true }, 'after a failure it installs again')
  t.same(installs('one'), { status: 0, installed: false, compiled: true })
  t.same(installs('two'), { status: 0, installed: true, compiled: true })
})
