import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createSigningKeys, type SigningKeys } from '../../../services/identity/signing-keys.js'
import { rig } from '../../rig.js'
import { until } from '../../until.js'

const migrations = {
  central: fileURLToPath(new URL('../../../../services/identity/migrations/central', import.meta.url)),
}

t.test('keys that sign', async t => {
  const { app: build, servers, look } = await rig(t, ['identity'])
  const app = await build('identity', { migrations })
  const central = app.central
  const sql = look('identity', 'identity_central')
  const open = async () => {
    const keys = createSigningKeys()
    t.teardown(() => keys.close())
    await keys.open(central, error => t.fail(String(error)))
    return keys
  }
  const kids = (keys: SigningKeys) => keys.published().keys.map(({ kid }) => kid)

  await t.test('are the same for every replica, however many start at once', async t => {
    const all = await Promise.all(Array.from({ length: 5 }, open))
    t.equal(new Set(all.map(keys => keys.signer().kid)).size, 1)
    t.equal((await sql`select from signing_keys`).length, 1)
  })

  await t.test('are replaced without a moment in which a new token is refused', async t => {
    const keys = await open()
    const old = keys.signer().kid
    await sql`update signing_keys set signs_from = signs_from - interval '31 days'`
    await Promise.all([keys.rotate(), (await open()).rotate()])
    t.equal(kids(keys).length, 2, 'the next one is published')
    t.equal(keys.signer().kid, old, 'and does not sign yet')
    await keys.rotate()
    t.equal(kids(keys).length, 2, 'nor is there a third')

    await sql`update signing_keys set signs_from = now() where retires_at is null`
    await keys.rotate()
    const next = keys.signer().kid
    t.not(next, old)
    t.ok(await keys.find(old), 'tokens signed by the old one are still good')

    await sql`update signing_keys set retires_at = now() - interval '1 second' where retires_at is not null`
    await keys.rotate()
    t.same(kids(keys), [next])
    t.equal(await keys.find(old), null)
  })

  await t.test('publish no secret part', async t => {
    const keys = await open()
    for (const key of keys.published().keys) t.same(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x'])
  })

  await t.test('are found when another replica has just made them', async t => {
    const keys = await open()
    await sql`delete from signing_keys`
    const { kid } = (await open()).signer()
    await until('it is found', () => keys.find(kid))
    t.same(kids(keys), [kid])
  })

  await t.test('keep signing and verifying while the database is down', async t => {
    const keys = await open()
    const { kid } = keys.signer()
    await servers.postgres.identity?.kill()
    await t.rejects(keys.rotate())
    t.equal(keys.signer().kid, kid)
    t.ok(await keys.find(kid))
    await until('an unknown one is unavailable', () =>
      keys.find('unknown').then(
        () => false,
        error => error.code === 'TOKEN_KEYS_UNAVAILABLE',
      ),
    )
  })
})
