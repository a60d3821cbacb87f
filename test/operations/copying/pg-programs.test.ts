// pg_restore reads a dump from a stream. If the stream fails, its error is the reason, as pg_restore only reports a short input.
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t from 'tap'
import { createPrograms } from '../../../operations/copying/pg-programs.js'

const at = {
  host: '127.0.0.1',
  port: 1,
  user: 'no',
  password: undefined,
  database: 'no',
  ssl: 'disable',
  sslRootCert: undefined,
} as const
const programs = createPrograms({ environment: { PATH: process.env.PATH } })

/** One that ends in the middle, as a file that cannot be read any further. */
function* cut(): Generator<Buffer> {
  yield Buffer.from('PGDMP')
  throw new Error('the archive ends in the middle')
}
const cutDump = () => Readable.from(cut(), { objectMode: false })

t.test('a dump that cannot be read', async t => {
  for (const entries of [undefined, '1; 2 3 TABLE public notes owner']) {
    const dump = cutDump()
    await t.rejects(programs.restore(dump, at, { entries }), { message: 'the archive ends in the middle' })
    t.ok(dump.destroyed)
  }
  const dump = cutDump()
  await t.rejects(programs.list(dump), { message: 'the archive ends in the middle' })
  t.ok(dump.destroyed)
})

t.test('a program that has given up', async t => {
  const dump = Readable.from([Buffer.from('no dump'), Buffer.alloc(4 * 1024 * 1024)], { objectMode: false })
  await t.rejects(programs.restore(dump, at, {}), { code: 'TRANSFER_FAILED', message: /^pg_restore failed: .*archive/ })
  t.ok(dump.destroyed, 'the rest is not read')
})

t.test('a list of entries that cannot be written', async t => {
  const before = process.env.TMPDIR
  process.env.TMPDIR = join(tmpdir(), 'there-is-no-such-folder')
  t.teardown(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
  const dump = cutDump()
  await t.rejects(programs.restore(dump, at, { entries: '' }), { code: 'ENOENT' })
  t.ok(dump.destroyed, 'the dump is closed')
})

t.test('a program that cannot be started', async t => {
  const before = readdirSync(tmpdir()).filter(name => name.startsWith('restore-'))
  const missing = createPrograms({ folder: join(tmpdir(), 'no-programs'), environment: {} })
  const dump = cutDump()
  await t.rejects(missing.restore(dump, at, { entries: '' }), { code: 'TRANSFER_REFUSED' })
  t.ok(dump.destroyed)
  const left = readdirSync(tmpdir()).filter(name => name.startsWith('restore-') && !before.includes(name))
  t.same(left, [], 'its folder is removed')
})
