// The process: its log, the keys of tokens, its port, and an end on SIGTERM that finishes the accepted requests.
import closeWithGrace from 'close-with-grace'
import { readEnvironment } from 'fastify-distributed-tenant'
import { logFormat } from 'fastify-distributed-tenant/errors'
import { createRemoteKeys } from 'fastify-distributed-tenant/tokens'
import { buildApp } from './app.js'

const environment = readEnvironment()
const production = environment.NODE_ENV === 'production'
const { IDENTITY_URL, TOKEN_KEYS_URL } = environment

const keys = createRemoteKeys({
  url: TOKEN_KEYS_URL ?? (IDENTITY_URL && new URL('/.well-known/jwks.json', IDENTITY_URL).href),
  onChange: err =>
    err
      ? app.log.warn({ err }, 'the keys that verify tokens cannot be read')
      : app.log.info('the keys that verify tokens can be read again'),
})
const app = await buildApp({
  logger: { level: environment.LOG_LEVEL, base: { service: 'billing' }, ...logFormat },
  access: {
    keys,
    issuer: environment.TOKEN_ISSUER,
    audience: environment.TOKEN_AUDIENCE,
    rolesClaim: environment.TOKEN_ROLES_CLAIM,
    // In development a request without a token is served for the tenant that it names.
    required: production,
  },
})
app.addHook('onClose', async () => keys.close())

// First readiness says 503, so that a load balancer sends no more; then accepted requests are finished; then it ends.
const noticeMs = 1000 * (environment.SHUTDOWN_NOTICE ?? (production ? 2 : 0))
closeWithGrace({ delay: 11_500, logger: app.log }, async ({ signal, err }) => {
  if (err) app.log.fatal({ err }, 'unexpected error; exiting')
  else {
    app.log.info({ signal }, 'shutting down: accepted requests are finished')
    await app.drain(noticeMs)
  }
  await app.close()
})

await app.listen({
  port: environment.PORT ?? 3004,
  host: environment.DOCKER_ENABLED || production ? '0.0.0.0' : '127.0.0.1',
})
