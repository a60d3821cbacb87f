// The protective headers of every answer of a service: no sniffing, no framing, nothing a page could load
// from an API. The documentation is a page with a policy of its own.
import helmet from '@fastify/helmet'
import type { FastifyInstance } from 'fastify'

export async function protectAnswers(app: FastifyInstance): Promise<void> {
  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    crossOriginResourcePolicy: { policy: 'same-origin' },
    referrerPolicy: { policy: 'no-referrer' },
  })
}
