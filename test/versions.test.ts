import { execFile } from 'node:child_process'
import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { findServers } from '../stack/servers/find.js'

const program = fileURLToPath(new URL('./versions.js', import.meta.url))

function versions(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise(resolve => {
    execFile(process.execPath, [program, ...args], (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    )
  })
}

t.test('a folder without programs, and a file that is not there, are refused before anything runs', async t => {
  const empty = await versions(t.testdir())
  t.equal(empty.code, 2)
  t.match(empty.err, /holds none of the programs/)
  const unknown = await versions('--only', 'no such file')
  t.equal(unknown.code, 2)
  t.match(unknown.err, /No test file of this command holds/)
  t.equal((await versions('--onyl', 'x')).code, 2)
})

t.test('the programs of a folder stand before the machine’s own', async t => {
  const folder = join(t.testdir(), 'newer')
  mkdirSync(folder)
  symlinkSync(findServers().redis, join(folder, 'redis-server'))
  const { code, out } = await versions('--json', '--only', 'unfit-redis', folder)
  t.equal(code, 0)
  const outcome = JSON.parse(out)
  t.match(outcome, { folder, files: 1, failed: 0, failures: [] })
  t.ok(outcome.passed > 0)
  t.match(outcome.versions, { redis: /^\d+\.\d+/, nats: /^\d+\.\d+/, postgres: /^\d+\.\d+/, node: /^\d+\.\d+/ })
})
