// Tokens of another identity provider: verified by the keys it publishes, and the tenant is the one in a claim of the token.
// Run, with the variables of examples/README.md and those of your provider:
//   TOKEN_ISSUER=https://login.example.com/ TOKEN_AUDIENCE=invoices \
//     TOKEN_KEYS_URL=https://login.example.com/.well-known/jwks.json node dist/examples/04-own-identity-provider.js
import Fastify from 'fastify'
import { distributedTenant, fromClaim, fromHeader, tenantClaim } from 'fastify-distributed-tenant'
import { createRemoteKeys, tokens } from 'fastify-distributed-tenant/tokens'

/** The claim that holds the tenant's id. */
const claim = 'tenant_id'
const {
  TOKEN_ISSUER: issuer = 'https://login.example.com/',
  TOKEN_AUDIENCE: audience = 'invoices',
  TOKEN_KEYS_URL: url = 'https://login.example.com/.well-known/jwks.json',
} = process.env

// The first start makes tables and a template, which takes longer than Fastify's 10 seconds on a busy server.
const app = Fastify({ logger: true, pluginTimeout: 60_000 })

const keys = createRemoteKeys({
  url,
  onChange: err =>
    err ? app.log.warn({ err }, 'the key set cannot be read') : app.log.info('the key set is read again'),
})
app.addHook('onClose', async () => keys.close())

// Before the tenant plugin: a token is verified before its tenant is looked up. `required`: without a token 401.
await app.register(tokens, { keys, issuer, audience, required: true })
await app.register(distributedTenant, {
  // A header is not needed. One that contradicts the token gets 403.
  identifyBy: [fromHeader('HRMS-Client-ID'), fromClaim(claim)],
  authorizeTenant: tenantClaim({ claim }),
})

app.get('/me', { config: { tenant: 'required' } }, async request => ({
  user: request.user?.sub,
  tenant: request.tenant.id,
}))

// Needs one of these roles in the claim `roles`; otherwise 403.
app.get('/admin', { config: { tenant: 'required', roles: ['admin'] } }, request => request.sql`select now()`)

await app.listen({ port: Number(process.env.PORT ?? 3004) })
