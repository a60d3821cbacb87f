// `fastify-distributed-tenant/prisma`: one PrismaClient for all tenants of a process. Each query runs on the tenant whose
// request, or `tenants.run`, it is awaited in. Invariant: outside of any it is refused; a transaction stays on one lease.
import type { PrismaPg } from '@prisma/adapter-pg'
import {
  ConfigurationInvalid,
  checkOptions,
  installedVersion,
  refuseOthers,
  requirePeer,
  type Tenants,
} from '../../plugins/distributed-tenant/index.js'
import { Pool } from '../pg/index.js'
import { keepApart, partsOf } from './own-batches.js'
import { inUtcOnly } from './utc-only.js'

export interface PrismaOptions {
  /** `fastify.tenants`. */
  readonly tenants: Pick<Tenants, 'follow'>
  /** Where Prisma's tables are, when not in `public`. */
  readonly schema?: string
}

const checkGiven = checkOptions<PrismaOptions>('createPrisma', { tenants: 'other', schema: 'string' })

/**
 * Makes the one PrismaClient of a process. Call it before the application is ready.
 * @param make called once, at once. The adapter is for the client that it returns alone: see own-batches.ts
 * @throws CONFIGURATION_INVALID for versions of Prisma that are not supported
 * @example const prisma = createPrisma({ tenants: app.tenants }, adapter => new PrismaClient({ adapter }))
 */
export function createPrisma<Client extends object>(
  options: PrismaOptions,
  make: (adapter: PrismaPg) => Client,
): Client {
  checkGiven(options)
  const { tenants, schema } = options
  const { PrismaPg: Adapter } = requirePeer<{ PrismaPg: typeof PrismaPg }>('@prisma/adapter-pg')
  refuseOthers('@prisma/client', installedVersion('@prisma/client'))
  const current = tenants.follow()
  const client = make(new Adapter(inUtcOnly(new Pool({ tenants })), schema === undefined ? {} : { schema }))
  const parts = partsOf(client)
  if (!parts) {
    throw new ConfigurationInvalid(
      'The PrismaClient is made in another way than that of @prisma/client 7.10: generate it with prisma@7.10, provider `prisma-client`.',
    )
  }
  keepApart(parts, current)
  const { handleAndLogRequestError } = parts
  parts.handleAndLogRequestError = failed => {
    // Ours carry a status and headers for the response, which Prisma's own errors do not.
    if (typeof (failed.error as { statusCode?: unknown } | null)?.statusCode === 'number') throw failed.error
    return handleAndLogRequestError.call(parts, failed)
  }
  return client
}
