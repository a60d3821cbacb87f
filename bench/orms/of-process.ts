// The ORMs that a process makes once for all tenants: MikroORM and Prisma. Each statement runs on the client that it was
// asked through, as it runs on the tenant of its request in a service.
import { AsyncLocalStorage } from 'node:async_hooks'
import { defineEntity, MikroORM, p, type SqlEntityManager } from '@mikro-orm/postgresql'
import { TenantDialect } from '../../orms/kysely/index.js'
import { createPrisma } from '../../orms/prisma/index.js'
import type { SqlClient } from '../../plugins/distributed-tenant/types.js'
import type { OrmOver, Runner } from './orm.js'
import { PrismaClient } from './prisma/generated/client.js'

const at = new AsyncLocalStorage<SqlClient>()
const tenants = { follow: () => () => at.getStore() as SqlClient }

const Item = defineEntity({
  name: 'Item',
  tableName: 'items',
  properties: { id: p.integer().primary(), name: p.text() },
})

const mikro = new MikroORM({
  entities: [Item],
  dbName: 'the tenant’s',
  ensureDatabase: false,
  driverOptions: new TenantDialect({ tenants }),
})

const inFork = (em: SqlEntityManager): Runner => ({
  run: (text, parameters = []) => em.execute(text.replaceAll(/\$\d+/g, '?'), [...parameters]),
})

/** A fork for each client. */
export const overMikro: OrmOver = sql => {
  const em = mikro.em.fork() as SqlEntityManager
  return {
    run: (text, parameters) => at.run(sql, () => inFork(em).run(text, parameters)),
    transaction: work => at.run(sql, () => em.transactional(inner => work(inFork(inner as SqlEntityManager)))),
  }
}

const prisma = createPrisma({ tenants }, adapter => new PrismaClient({ adapter }))

const inPrisma = (client: Pick<PrismaClient, '$queryRawUnsafe'>, sql: SqlClient): Runner => ({
  run: async (text, parameters = []) => at.run(sql, async () => client.$queryRawUnsafe(text, ...parameters)),
})

export const overPrisma: OrmOver = sql => ({
  ...inPrisma(prisma, sql),
  transaction: work => at.run(sql, () => prisma.$transaction(tx => work(inPrisma(tx, sql)), { timeout: 60_000 })),
})
