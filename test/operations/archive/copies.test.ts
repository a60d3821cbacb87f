// The possible contents of a tenant's database: backed up, proven and restored beside it, and then the same; or
// refused by name, with no archive and no database left.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type postgres from 'postgres'
import t from 'tap'
import { openArchive } from '../../../operations/archive/archive-reader.js'
import { createTar } from '../../../operations/archive/archive-writer.js'
import { backUpTenant } from '../../../operations/archive/backup.js'
import { exportTenant } from '../../../operations/archive/export.js'
import { createServiceRestore } from '../../../operations/archive/restore-service.js'
import { notCopyable } from '../../../operations/copying/not-copyable.js'
import { createPrograms } from '../../../operations/copying/pg-programs.js'
import { parseTenantId } from '../../../plugins/distributed-tenant/names.js'
import { rig } from '../../rig.js'
import { copied, refused } from './copy-kinds.js'

t.test('copies of a tenant’s database', async t => {
  const { app, tenancy, look, database, servers } = await rig(t, ['core'])
  const folder = mkdtempSync(join(tmpdir(), 'copies-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const { tenants } = await app('core')
  const { transfer } = await tenancy('core')
  const programs = createPrograms({ environment: process.env })
  const central = look('core', 'core_central')
  await central`create role other_reports`
  const group = 'core_tenant'
  const filled = (sql: string, name: string) => sql.replaceAll('{group}', group).replaceAll('{database}', name)

  const inside = async <T>(name: string, fn: (sql: postgres.Sql) => Promise<T>, superuser = false): Promise<T> => {
    const { host, port, user, password } = superuser
      ? (servers.postgres.core as NonNullable<typeof servers.postgres.core>)
      : database('core')
    const { default: connect } = await import('postgres')
    const sql = connect({ host, port, user, password, database: name, max: 1, onnotice() {} })
    try {
      return await fn(sql)
    } finally {
      await sql.end()
    }
  }
  const left = async () =>
    (
      await central<{ name: string }[]>`select datname as name from pg_database where datname ~ '^(proof|copy|past)_'`
    ).map(({ name }) => name)

  await t.test('a clone has the settings of its template', async t => {
    const [template] = await central<
      { name: string }[]
    >`select datname as name from pg_database where datname ~ '^template_core_'`
    await central`alter database ${central(template?.name ?? '')} set lock_timeout = '7s'`
    await tenants.create({ id: 'cloned', name: 'Cloned' })
    const [row] = await inside('tenant_cloned_core', sql => sql`select current_setting('lock_timeout') as kept`)
    t.same(row, { kept: '7s' })
  })

  for (const [at, kind] of copied.entries()) {
    await t.test(kind.name, async t => {
      const id = parseTenantId(`kept-${at}`)
      const other = parseTenantId(`other-${at}`)
      const name = `tenant_${id}_core`
      await tenants.create({ id, name: id })
      await inside(name, sql => sql.unsafe(filled(kind.sql, name)))
      const stale = kind.name.includes('cannot be refreshed')
      for (const verify of stale ? [false, true] : [at % 2 === 0]) {
        const to = join(folder, `${id}-${verify}.tar`)
        const { warnings } = await backUpTenant(id, { services: [transfer], programs, release: '0', to, verify })
        const archive = await openArchive(to)
        t.teardown(() => archive.close())
        const [part] = archive.manifest.services
        if (!part) throw new Error('no part')
        const seen: string[] = []
        const restore = await createServiceRestore(transfer, other, {
          part,
          programs,
          sha256: archive.sha256,
          onWarning: text => seen.push(text),
        })
        t.same(await restore.obstacles(), [])
        await restore.build(() => archive.part(part))
        t.equal(warnings.length, stale && verify ? 1 : 0, warnings.join())
        t.equal(seen.length, stale ? 1 : 0, seen.join())
        await inside(`copy_core_${other}`, async sql => {
          for (const question of kind.same ?? []) {
            const [row] = await sql.unsafe(filled(question, name))
            t.same(Object.values(row ?? {}), [true], question)
          }
        })
        await restore.sweep()
      }
      t.same(await left(), [])
    })
  }

  for (const [at, kind] of copied.entries()) {
    if (!kind.named) continue
    await t.test(`of a service’s role of another name: ${kind.name}`, async t => {
      const archive = await openArchive(join(folder, `kept-${at}-${at % 2 === 0}.tar`))
      t.teardown(() => archive.close())
      const [part] = archive.manifest.services
      if (!part) throw new Error('no part')
      const settings = part.settings?.map(one => (one.role === 'core_service' ? { ...one, role: 'lost_service' } : one))
      const theirs = { ...part, ...(settings && { settings }), role: 'lost_service' }
      const other = parseTenantId(`lost-${at}`)
      const restore = await createServiceRestore(transfer, other, { part: theirs, programs, sha256: archive.sha256 })
      t.same(await restore.obstacles(), [])
      // Names of one length, so that the dump stays whole.
      const dump = await buffer(archive.part(part))
      const renamed = Buffer.from(dump.toString('latin1').replaceAll('core_service', 'lost_service'), 'latin1')
      await restore.build(() => Readable.from([renamed]))
      await inside(`copy_core_${other}`, async sql => {
        for (const question of kind.same ?? []) {
          const [row] = await sql.unsafe(filled(question, `tenant_kept-${at}_core`))
          t.same(Object.values(row ?? {}), [true], question)
        }
      })
      await restore.sweep()
    })
  }

  for (const [at, kind] of refused.entries()) {
    await t.test(`refused: ${kind.name}`, async t => {
      const id = parseTenantId(`gone-${at}`)
      const name = `tenant_${id}_core`
      await tenants.create({ id, name: id })
      const { superuser } = kind
      if (superuser?.startsWith('grant')) await central.unsafe(superuser.replace('current_user', 'core_service'))
      else if (superuser) await inside(name, sql => sql.unsafe(superuser), true)
      await inside(name, sql => sql.unsafe(filled(kind.sql, name)))
      const place = mkdtempSync(join(folder, 'refused-'))
      const to = join(place, 'none.tar')
      await t.rejects(backUpTenant(id, { services: [transfer], programs, release: '0', to }), {
        code: 'TRANSFER_REFUSED',
        message: kind.output,
      })
      t.same(readdirSync(place), [], 'no archive')
      if (kind.exported) {
        const parcel = await createTar(to)
        const how = { format: 'jsonl', cells: 'exact', leaveOut: [], keep: [], parcel } as const
        const exporting = exportTenant(id, { services: [transfer], programs, release: '0', ...how })
        await t.rejects(
          exporting.finally(() => parcel.abort()),
          { code: 'TRANSFER_REFUSED', message: kind.exported },
        )
        t.same(readdirSync(place), [], 'no export')
      }
      t.same(await left(), [], 'no database')
      const { never } = await transfer.withDirectConnection(name, notCopyable)
      t.equal(never.length > 0, kind.tried !== true, 'named without a trial')
    })
  }
})
