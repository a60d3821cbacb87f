// MikroORM: one for all tenants, a fork for each request; over `pg` on its own.
import { defineEntity, MikroORM, p } from '@mikro-orm/postgresql'
import { TenantDialect } from '../../../orms/kysely/index.js'
import type { Read, Reads } from './read.js'

const Item = defineEntity({
  name: 'Item',
  tableName: 'items',
  properties: { id: p.integer().primary(), name: p.text(), price: p.decimal(), stock: p.integer() },
})

const readOf =
  (orm: MikroORM): Read =>
  id =>
    orm.em.fork().findOne(Item, { id })

export const reads: Reads = {
  ofTenants(tenants) {
    const orm = new MikroORM({
      entities: [Item],
      dbName: 'the tenant’s',
      ensureDatabase: false,
      driverOptions: new TenantDialect({ tenants }),
    })
    return () => readOf(orm)
  },
  own: ({ database, max, ...login }) =>
    readOf(new MikroORM({ entities: [Item], dbName: database, ...login, ensureDatabase: false, pool: { max } })),
}
