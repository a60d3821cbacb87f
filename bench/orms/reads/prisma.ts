// Prisma: one PrismaClient for all tenants; over `pg` on its own.
import { PrismaPg } from '@prisma/adapter-pg'
import { createPrisma } from '../../../orms/prisma/index.js'
import { PrismaClient } from '../prisma/generated/client.js'
import type { Read, Reads } from './read.js'

const select = { id: true, name: true, price: true, stock: true } as const

// No `findUnique`: Prisma would join those of one turn of the loop, which on its own are of many requests.
const readOf =
  (prisma: PrismaClient): Read =>
  id =>
    prisma.item.findFirst({ where: { id }, select })

export const reads: Reads = {
  ofTenants(tenants) {
    const prisma = createPrisma({ tenants }, adapter => new PrismaClient({ adapter }))
    return () => readOf(prisma)
  },
  own: options => readOf(new PrismaClient({ adapter: new PrismaPg(options) })),
}
