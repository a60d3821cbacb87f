// Rival of one PrismaClient for all tenants: a PrismaClient for each, with a pool of ten, made at its first request and kept.
import { PrismaPg } from '@prisma/adapter-pg'
import Fastify from 'fastify'
import { type Arm, type ArmConfig, databaseOf } from '../arm.js'
import { tenantOf } from '../baselines/tenant-of.js'
import { idOf } from '../routes.js'
import { PrismaClient } from './prisma/generated/client.js'

const select = { id: true, name: true, price: true, stock: true } as const

export function make({ login, service, tenants }: ArmConfig): Arm {
  const known = new Set(tenants)
  const clients = new Map<string, PrismaClient>()
  const app = Fastify()
  app.get('/read/:id', request => {
    const tenant = tenantOf(request, known)
    let prisma = clients.get(tenant)
    if (!prisma) {
      prisma = new PrismaClient({ adapter: new PrismaPg({ ...login, database: databaseOf(tenant, service), max: 10 }) })
      clients.set(tenant, prisma)
    }
    return prisma.item.findFirst({ where: { id: idOf(request) }, select })
  })
  return { app }
}
