// The container of an archive without any server: it is plain tar, a change of any byte is detected, and an
// unfinished one leaves no file.
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { openArchive } from '../../../operations/archive/archive-reader.js'
import { createFolder, createTar } from '../../../operations/archive/archive-writer.js'
import {
  FORMAT,
  MANIFEST,
  type Manifest,
  manifestText,
  type Part,
  SUMS,
  sumsText,
} from '../../../operations/archive/manifest.js'
import { headerOf } from '../../../operations/archive/tar.js'

const folder = mkdtempSync(join(tmpdir(), 'container-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

const partOf = (service: string, bytes: Buffer): Part => ({
  service,
  file: `${service}.dump`,
  bytes: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
  at: '2026-01-02T03:04:05.678Z',
  server: { major: 15, version: '15.4' },
  program: 15,
  database: { name: 'x', bytes: 1, encoding: 'UTF8', collate: 'C', ctype: 'C', icuLocale: null },
  migrations: [{ version: 1, name: 'one', checksum: 'abc' }],
  registry: { version: 3, revision: 9 },
  contents: { serverMajor: 15, probe: '1', tables: [], sequences: [], shape: [] },
})

async function write(name: string, change: (manifest: Manifest) => object = manifest => manifest): Promise<string> {
  const path = join(folder, name)
  const parcel = await createTar(path)
  const contents = { employee: randomBytes(1_000), core: randomBytes(512) }
  const services: Part[] = []
  for (const [service, bytes] of Object.entries(contents)) {
    await parcel.add(`${service}.dump`, async take => {
      await take(bytes.subarray(0, 300))
      await take(bytes.subarray(300))
    })
    services.push(partOf(service, bytes))
  }
  const tenant = { id: 'acme', name: 'Acme', domain: null, settings: {}, lifecycle: 'active', version: 3 } as const
  const createdAt = '2026-01-02T03:04:06.000Z'
  const manifest: Manifest = {
    format: FORMAT,
    formatVersion: 1,
    kind: 'tenant',
    createdAt,
    release: '0',
    tenant,
    services,
  }
  const text = manifestText(change(manifest) as Manifest)
  const { sha256 } = await parcel.add(MANIFEST, take => take(Buffer.from(text)))
  const files = [...services.map(one => ({ name: one.file, sha256: one.sha256 })), { name: MANIFEST, sha256 }]
  await parcel.add(SUMS, take => take(Buffer.from(sumsText(files))))
  await parcel.finish()
  return path
}

async function readAll(path: string): Promise<void> {
  const archive = await openArchive(path)
  try {
    await archive.check(() => {})
  } finally {
    await archive.close()
  }
}

t.test('is tar, for its owner alone, and matches its checksums', async t => {
  const path = await write('plain.tar')
  t.equal(statSync(path).mode & 0o777, 0o600)
  const out = mkdtempSync(join(folder, 'out-'))
  t.equal(
    execFileSync('tar', ['-tf', path], { encoding: 'utf8' }),
    'employee.dump\ncore.dump\nmanifest.json\nSHA256SUMS\n',
  )
  execFileSync('tar', ['-xf', path, '-C', out])
  t.match(execFileSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: out, encoding: 'utf8' }), /core\.dump: OK/)
  await readAll(path)
})

t.test('with any byte changed it is refused', async t => {
  const path = await write('flipped.tar')
  const whole = readFileSync(path)
  const changed = join(folder, 'changed.tar')
  await fc.assert(
    fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, by) => {
      const bytes = Buffer.from(whole)
      bytes[at] = (bytes[at] as number) ^ by
      writeFileSync(changed, bytes)
      await t.rejects(readAll(changed), { code: 'ARCHIVE_INVALID' }, `byte ${at}`)
    }),
    { numRuns: 300 },
  )
})

t.test('cut off at any place it is refused', async t => {
  const path = await write('cut.tar')
  const { size } = statSync(path)
  for (let left = size - 1; left >= 0; left -= 200) {
    truncateSync(path, left)
    await t.rejects(readAll(path), { code: 'ARCHIVE_INVALID' }, `${left} bytes`)
  }
  writeFileSync(path, randomBytes(10_000))
  await t.rejects(readAll(path), { code: 'ARCHIVE_INVALID', message: /no archive of ours/ })
  await t.rejects(readAll(folder), { code: 'ARCHIVE_INVALID' })
  await t.rejects(readAll(join(folder, 'nothing')), { code: 'ARCHIVE_INVALID', message: /ENOENT/ })
})

t.test('a manifest of another kind, or with an invalid name, is refused', async t => {
  const wrong: [(manifest: Manifest) => object, RegExp][] = [
    [manifest => ({ ...manifest, formatVersion: 3 }), /format version 3, and this release reads/],
    [manifest => ({ ...manifest, format: 'other' }), /no archive of ours/],
    [manifest => ({ ...manifest, tenant: { ...manifest.tenant, id: '../x' } }), /manifest is wrong at \/tenant/],
    [manifest => ({ ...manifest, tenant: null }), /contradicts/],
    [manifest => ({ ...manifest, services: manifest.services.slice(1) }), /have changed|does not name/],
    [
      manifest => ({ ...manifest, services: manifest.services.map(one => ({ ...one, service: 'employee' })) }),
      /contradicts/,
    ],
  ]
  for (const [at, [change, message]] of wrong.entries()) {
    await t.rejects(write(`wrong-${at}.tar`, change).then(readAll), { code: 'ARCHIVE_INVALID', message })
  }
})

t.test('a size above eight gigabytes is written in the form that tar reads', async t => {
  const size = 9 * 1024 ** 3
  const path = join(folder, 'large.tar')
  writeFileSync(path, headerOf('large.dump', size, 1_700_000_000))
  truncateSync(path, 512 + size + 1024)
  t.match(execFileSync('tar', ['-tvf', path], { encoding: 'utf8' }), new RegExp(`${size} .*large\\.dump`))
  rmSync(path)
})

t.test('an unfinished archive leaves no file, and files of a killed process are removed', async t => {
  const place = mkdtempSync(join(folder, 'place-'))
  for (const make of [createTar, createFolder]) {
    const parcel = await make(join(place, 'one'))
    await t.rejects(
      parcel.add('a', async take => {
        await take(Buffer.from('x'))
        throw new Error('enough')
      }),
      { message: 'enough' },
    )
    t.equal(readdirSync(place).length, 1, 'under another name')
    await parcel.abort()
    await parcel.abort()
    t.same(readdirSync(place), [])
  }
  const pid = Number(execFileSync(process.execPath, ['-p', 'process.pid'], { encoding: 'utf8' }))
  const host = hostname().replace(/[^A-Za-z0-9-]/g, '-')
  const dead = join(place, `.acme.tar.${host}.${pid}.distributed-tenant-partial`)
  const alive = join(place, `.acme.tar.${host}.${process.ppid}.distributed-tenant-partial`)
  const elsewhere = join(place, `.acme.tar.other.${pid}.distributed-tenant-partial`)
  mkdirSync(dead)
  for (const file of [alive, elsewhere]) writeFileSync(file, '')
  const parcel = await createTar(join(place, 'two'))
  t.notOk(existsSync(dead))
  t.ok(existsSync(alive) && existsSync(elsewhere), 'others may still be writing')
  await parcel.finish()
  await parcel.abort()
  t.ok(existsSync(join(place, 'two')), 'a finished archive stays')
  await t.rejects(createTar(join(place, 'two')), { code: 'TRANSFER_REFUSED', message: /there already/ })
  await t.rejects(createTar(join(place, 'nowhere', 'x')), { code: 'TRANSFER_REFUSED', message: /cannot be read/ })
})
