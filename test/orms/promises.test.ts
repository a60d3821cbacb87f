// The promises of a tenant's client, kept by the ORMs that a process makes once, and by those over the pool in the shape of
// `pg`, which send BEGIN and COMMIT themselves.
import t from 'tap'
import { overMikro, overPrisma } from '../../bench/orms/of-process.js'
import { overDrizzleOnPg, overKnex, overKyselyOnPg } from '../../bench/orms/on-pg.js'
import type { OrmOver } from '../../bench/orms/orm.js'
import { overPg } from '../../bench/orms/pg.js'
import { keepsPromises, type Otherwise } from './promises.js'

/** Legal: the session is the library's own, and is reset. */
const legal = 'no error'
const cases: Readonly<Record<string, readonly [OrmOver, Otherwise]>> = {
  // It writes values into the text of a statement by itself.
  MikroORM: [overMikro, { isOver: { message: /Transaction is already committed/ }, several: 'no error' }],
  // Its own codes: a transaction that is over, and an error of the server in a statement as text.
  Prisma: [overPrisma, { isOver: 'P2028', several: 'P2010', ends: legal }],
  pg: [overPg, { isOver: { message: /not queryable/ }, ends: legal }],
  'Drizzle on pg': [overDrizzleOnPg, { isOver: { message: /not queryable/ }, ends: legal }],
  'Kysely on pg': [overKyselyOnPg, { isOver: { message: /already committed/ }, begins: legal, ends: legal }],
  Knex: [overKnex, { isOver: { message: /already complete/ }, begins: legal, ends: legal }],
}

for (const [name, [over, otherwise]] of Object.entries(cases)) t.test(name, t => keepsPromises(t, over, otherwise))
