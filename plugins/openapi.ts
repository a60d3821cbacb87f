// The description of a service's HTTP interface: the page at /api/docs and the document at /api/docs/json.
// Routes without a tag stay out of it. A tenant route is found by its `config.tenant`; nothing else has to be repeated.
import type { SwaggerTransform } from '@fastify/swagger'
import type { FastifyInstance, FastifySchema } from 'fastify'
import fp from 'fastify-plugin'
import { checkPluginOptions, requirePeer } from './distributed-tenant/index.js'

const swagger = requirePeer<typeof import('@fastify/swagger')>('@fastify/swagger')
const swaggerUi = requirePeer<typeof import('@fastify/swagger-ui')>('@fastify/swagger-ui')

export interface OpenapiOptions {
  title: string
  version: string
  description?: string
  /** The header that names the tenant. Default `HRMS-Client-ID`. */
  tenantHeader?: string
}

const checkGiven = checkPluginOptions<OpenapiOptions>('openapi', {
  title: 'string',
  version: 'string',
  description: 'string',
  tenantHeader: 'string',
})

async function openapiPlugin(app: FastifyInstance, options: OpenapiOptions): Promise<void> {
  checkGiven(options)
  const { title, version, description = '', tenantHeader = 'HRMS-Client-ID' } = options
  await app.register(swagger, {
    hideUntagged: true,
    openapi: {
      openapi: '3.1.0',
      info: { title, version, description },
      components: {
        securitySchemes: {
          tenant: {
            type: 'apiKey',
            in: 'header',
            name: tenantHeader,
            description: 'The tenant’s id. The tenant’s host name is an alternative. It is a claim, not a proof.',
          },
          admin: { type: 'http', scheme: 'bearer', description: 'The operator’s token (ADMIN_TOKEN).' },
          service: { type: 'http', scheme: 'bearer', description: 'Another service’s token (SERVICE_TOKEN).' },
          operator: { type: 'http', scheme: 'bearer', description: 'A token of the operator API (OPERATOR_TOKEN).' },
          metrics: { type: 'http', scheme: 'bearer', description: 'The token of `/metrics` (METRICS_TOKEN).' },
        },
      },
    },
    transform: markTenantRoutes,
  })
  // A scope of its own, so that the page opens on any host name, whether or not its tenant can be found.
  await app.register(
    async docs => {
      await docs.register(swaggerUi, {
        routePrefix: '/api/docs',
        uiConfig: { persistAuthorization: true },
        staticCSP: true,
      })
    },
    { tenant: false },
  )
}

const markTenantRoutes: SwaggerTransform = ({ schema, url, route }) => {
  const described = (schema ?? {}) as FastifySchema
  const needsTenant = route.config?.tenant === 'required'
  return { url, schema: needsTenant ? { ...described, security: [{ tenant: [] }] } : described }
}

export const openapi = fp<OpenapiOptions>(openapiPlugin, {
  name: 'fastify-distributed-tenant-openapi',
  fastify: '5.x',
})
export default openapi
