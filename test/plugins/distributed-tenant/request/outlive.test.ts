// Running work of a tenant when the tenant is suspended or deleted.
import t from 'tap'
import { gate } from '../../../postgres/stand.js'
import { rig } from '../../../rig.js'
import { until } from '../../../until.js'

t.test('work that outlives its tenant', async t => {
  const { app: build } = await rig(t, ['employee'])
  const app = await build('employee')
  const lifecycles = [
    ['suspend', 'TENANT_SUSPENDED'],
    ['remove', 'TENANT_NOT_FOUND'],
  ] as const
  for (const [change, code] of lifecycles) {
    const make = async (id: string) => app.tenants.create({ id, name: id })

    await t.test(`gets no further connection after ${change}`, async t => {
      const id = `lease-${change}`
      await make(id)
      await app.tenants.run(id, async ({ sql }) => {
        await sql`select 1`
        await app.tenants[change](id)
        let last: unknown
        await until('it is refused', async () => {
          last = await sql`select 1`.then(
            () => null,
            error => error.code,
          )
          return last !== null
        })
        t.equal(last, code)
        t.equal(
          await sql
            .begin(sql => sql`select 1`)
            .then(
              () => null,
              error => error.code,
            ),
          code,
        )
      })
    })
    await t.test(`loses its transaction after ${change}, also while it waits for something else`, async t => {
      const id = `tx-${change}`
      await make(id)
      const begun = gate()
      const work = app.tenants.run(id, ({ sql }) =>
        sql.begin(async sql => {
          await sql`select 1`
          begun.open()
          await new Promise(() => {})
        }),
      )
      work.catch(() => {})
      await begun.passed
      await app.tenants[change](id)
      await t.rejects(work, { code })
      t.equal(app.tenants.connectionInfo().inUse, 0)
    })
  }
})
