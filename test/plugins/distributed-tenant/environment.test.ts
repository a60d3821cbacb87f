import { writeFileSync } from 'node:fs'
import t from 'tap'
import { compileValidator } from '../../../events/index.js'
import { readEnvironment } from '../../../plugins/distributed-tenant/config/environment.js'
import { environmentSchema } from '../../../plugins/distributed-tenant/config/environment-schema.js'
import { settle } from '../../../plugins/distributed-tenant/config/settings.js'

t.test('an empty environment gives the documented defaults', async t => {
  t.match(readEnvironment({}), {
    DATABASE_ARCHITECTURE_MODE: 'distributed',
    DB_HOST: 'localhost',
    DB_PORT: 5432,
    DISTRIBUTED_MAX_CONNECTIONS: 50,
    DISTRIBUTED_IDLE_TIMEOUT: 1800,
    TENANT_ACQUIRE_TIMEOUT: 2,
    TENANT_CACHE_TTL: 3600,
    TENANT_HEADER: 'HRMS-Client-ID',
    NATS_URL: 'nats://localhost:4222',
    REDIS_URL: 'redis://localhost:6379',
  })
})

t.test('the defaults hold the rules of the variables', async t => {
  const { properties } = environmentSchema
  const defaults = Object.entries(properties).map(([name, schema]) => [name, (schema as { default?: unknown }).default])
  const given = Object.fromEntries(defaults.filter(([, value]) => value !== undefined))
  t.equal(compileValidator(environmentSchema).Check(given), true)
})

t.test('an empty variable counts as unset, but an empty REDIS_URL means no Redis', async t => {
  const environment = readEnvironment({ DB_HOST: '', DB_PORT: '', REDIS_URL: '' })
  t.match(environment, { DB_HOST: 'localhost', DB_PORT: '5432', REDIS_URL: '' })
  t.equal(settle({ service: 'core' }, environment).redis, null)
})

const bad: Record<string, string[]> = {
  SERVICE_NAME: ['Employee', 'employee_service', 'a'.repeat(16), '1st'],
  DATABASE_ARCHITECTURE_MODE: ['hybrid', 'shared'],
  DB_CONNECTION: ['mysql'],
  DB_PORT: ['0', '70000', 'port', '5432.5', '5432,', '5432,70000'],
  DB_SSLMODE: ['on', 'verify-ca'],
  DISTRIBUTED_DATABASE_ENABLED: ['maybe'],
  DISTRIBUTED_MAX_CONNECTIONS: ['0', '-1', 'many'],
  DISTRIBUTED_CONNECTION_TIMEOUT: ['0', '-5'],
  SERVICE_REPLICAS: ['0'],
  SERVICE_CONNECTIONS: ['15', 'all'],
  NATS_URL: ['localhost:4222', 'http://x'],
  REDIS_URL: ['localhost'],
  TENANT_HEADER: ['X Tenant', 'x:y'],
  TENANT_BASE_DOMAIN: ['localhost', 'UPPER.example.com', '.example.com'],
  ADMIN_TOKEN: ['short', 'a-token-long-enough,short', 'a-token-long-enough,', 'a token with blanks in it'],
  TOKEN_KEYS_URL: ['login.example.com'],
  TRUSTED_PROXIES: ['true', 'my-proxy', '10.0.0.0/8, 10.1.0.1'],
  RATE_LIMIT_PER_ADDRESS: ['-1', 'many'],
  REQUIRED_SERVICES: ['identity, core', 'Identity'],
  IDENTITY_URL: ['identity:3001'],
  PORT: ['70000'],
  LOG_LEVEL: ['verbose'],
}
for (const [name, values] of Object.entries(bad)) {
  t.test(`a bad ${name} names itself and what it must be, and never its value`, async t => {
    const { description } = environmentSchema.properties[
      name as keyof typeof environmentSchema.properties
    ] as unknown as { description: string }
    for (const value of values) {
      const error = t.throws(() => readEnvironment({ [name]: value }), { code: 'CONFIGURATION_INVALID' }) as Error
      t.ok(error.message.startsWith(`${name} is not usable`), error.message)
      t.ok(error.message.includes(description))
    }
  })
}

t.test('unknown variables are ignored', async t => {
  t.doesNotThrow(() => readEnvironment({ DISTRIBUTED_SOMETHING: 'else' }))
})

t.test('a secret may come from a file', async t => {
  const dir = t.testdir({ password: 'from-a-file\n' })
  t.equal(readEnvironment({ DB_PASSWORD_FILE: `${dir}/password` }).DB_PASSWORD, 'from-a-file')
  t.throws(() => readEnvironment({ DB_PASSWORD_FILE: `${dir}/password`, DB_PASSWORD: 'x' }), { message: /both set/ })
  t.throws(() => readEnvironment({ ADMIN_TOKEN_FILE: `${dir}/none` }), { message: /ADMIN_TOKEN_FILE.*ENOENT/ })
  writeFileSync(`${dir}/token`, 'short-secret')
  const error = t.throws(() => readEnvironment({ ADMIN_TOKEN_FILE: `${dir}/token` })) as Error
  t.notMatch(error.message, /short-secret/)
})

t.test('a service must be named', async t => {
  t.throws(() => settle({}, readEnvironment({})), { message: /SERVICE_NAME is not set.*SERVICE_NAME=employee-service/ })
})

t.test('options win over the environment', async t => {
  const environment = readEnvironment({ SERVICE_NAME: 'employee-service', DISTRIBUTED_MAX_CONNECTIONS: '20' })
  t.match(settle({}, environment), { service: 'employee', maxConnections: 20, maxConnectionsPerTenant: 4 })
  t.match(settle({ service: 'core', maxConnections: 7 }, environment), { service: 'core', maxConnections: 7 })
})

t.test('several servers of one PostgreSQL, with one port or one for each', async t => {
  const databaseOf = (DB_HOST: string, DB_PORT?: string) =>
    settle({ service: 'core' }, readEnvironment({ DB_HOST, ...(DB_PORT && { DB_PORT }) })).database
  t.match(databaseOf('db1', '5433'), { host: 'db1', port: 5433, servers: undefined })
  t.match(databaseOf('db1,db2'), {
    host: 'db1',
    port: 5432,
    servers: [
      { host: 'db1', port: 5432 },
      { host: 'db2', port: 5432 },
    ],
  })
  t.match(databaseOf('db1,db2', '1,2').servers, [{ port: 1 }, { port: 2 }])
  t.throws(() => databaseOf('db1,db2,db3', '1,2'), { message: /DB_HOST names 3 servers and DB_PORT 2 ports: give one/ })
  t.throws(() => databaseOf('db1,,db3'), { message: /DB_HOST has an empty name/ })
})

t.test('a bad option is named', async t => {
  const environment = readEnvironment({ SERVICE_NAME: 'core' })
  t.throws(() => settle({ maxConnections: 0 }, environment), { message: /maxConnections/ })
  t.throws(() => settle({ reset: 'sometimes' as 'always' }, environment), { message: /reset must be/ })
  t.throws(() => settle({ acquireTimeout: -1 }, environment), { message: /acquireTimeout/ })
  t.throws(() => settle({ database: { ssl: 'verify-full' } }, environment), { message: /DB_SSLROOTCERT/ })
})
