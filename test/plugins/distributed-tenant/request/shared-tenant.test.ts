// The tenant that a handler sees is shared by all requests of the tenant in the process: none of them can change it for another.
import t from 'tap'
import { rig } from '../../../rig.js'

t.test('no handler changes the tenant that another one sees', async t => {
  const { app: build } = await rig(t, ['employee'])
  const app = await build('employee')
  const settings = { theme: { colours: ['red'] } }
  const ready = new Promise<unknown>(resolve => {
    app.tenants.onReady(({ tenant }) => resolve(tenant))
  })
  await app.tenants.create({ id: 'acme', name: 'Acme', settings })
  const changes: ((tenant: { name: string; settings: typeof settings }) => void)[] = [
    tenant => {
      tenant.name = 'another'
    },
    tenant => tenant.settings.theme.colours.push('green'),
    tenant => {
      tenant.settings.theme = { colours: [] }
    },
    tenant => Object.assign(tenant.settings, { more: true }),
  ]
  await app.tenants.run('acme', async ({ tenant }) => {
    for (const change of changes) t.throws(() => change(tenant as never), TypeError)
  })
  const seen = await ready
  for (const change of changes) t.throws(() => change(seen as never), TypeError)
  await app.tenants.run('acme', async ({ tenant }) => {
    t.equal(tenant.name, 'Acme')
    t.same(tenant.settings, { theme: { colours: ['red'] } })
  })
})
