// The environment variables: the accepted values of each, its default, which are secret. A description is the form of an
// accepted value and is printed with the error. Read by environment.ts.
import type { Static } from 'typebox'
import { Type } from '../../../events/json-schema.js'
import { ROLE_SECRET_PATTERN } from '../credentials/role-credentials.js'
import { INSTANCES_PATTERN } from './instances.js'
import { PORTS_PATTERN } from './servers.js'

const flag = (value: boolean, description: string) => Type.Boolean({ default: value, description })
const seconds = (value: number, description: string) =>
  Type.Number({ default: value, exclusiveMinimum: 0, description: `${description}, in seconds above 0` })
const port = (description: string) => Type.Integer({ minimum: 1, maximum: 65535, description })
/** Several, separated by commas, so that one can be replaced without a moment in which neither works. */
const bearers = (name: string) =>
  Type.String({
    pattern: '^[\\x21-\\x2b\\x2d-\\x7e]{16,}(,[\\x21-\\x2b\\x2d-\\x7e]{16,})*$',
    description: `a random token of 16 characters or more, or several separated by commas (or ${name}_FILE)`,
  })
const perMinute = (whose: string) =>
  Type.Integer({
    minimum: 0,
    maximum: 1_000_000_000,
    description: `requests a minute of one ${whose}, 0 for any number`,
  })
const text = (description: string) => Type.String({ minLength: 1, description })

/** Every variable with its default. */
export const environmentSchema = Type.Object({
  SERVICE_NAME: Type.Optional(
    Type.String({
      pattern: '^[a-z][a-z0-9]{0,14}(-service)?$',
      description: 'the service, like identity-service: a-z and 0-9, at most 15 before "-service"',
    }),
  ),
  DATABASE_ARCHITECTURE_MODE: Type.String({
    default: 'distributed',
    pattern: '^distributed$',
    description:
      '"distributed": one PostgreSQL instance per service is the only mode; leave a shared server with `distributed-tenant import-hybrid`',
  }),
  DB_CONNECTION: Type.String({
    default: 'pgsql',
    pattern: '^pgsql$',
    description: '"pgsql": only PostgreSQL is supported',
  }),
  DB_HOST: Type.String({
    default: 'localhost',
    minLength: 1,
    description: 'the host of this service’s PostgreSQL, or several separated by commas, of which the primary is used',
  }),
  DB_PORT: Type.String({
    default: '5432',
    pattern: PORTS_PATTERN,
    description: 'a port from 1 to 65535, or one for each host of DB_HOST, separated by commas',
  }),
  DB_DATABASE: Type.Optional(text('the central database, {service}_central when left out')),
  DB_USERNAME: Type.String({
    default: 'postgres',
    minLength: 1,
    description: 'this service’s role, made by `distributed-tenant init`',
  }),
  DB_PASSWORD: Type.Optional(text('the password of DB_USERNAME (or DB_PASSWORD_FILE)')),
  DB_SSLMODE: Type.Optional(
    Type.Enum(['disable', 'prefer', 'require', 'verify-full'], {
      description: 'disable, prefer, require or verify-full',
    }),
  ),
  DB_SSLROOTCERT: Type.Optional(text('the path of the CA certificate for verify-full')),
  DB_INSTANCES: Type.Optional(
    Type.String({
      pattern: INSTANCES_PATTERN,
      description: 'more instances of this service as name=host:port, like b=db2.internal:5432,c=db3.internal',
    }),
  ),
  TENANT_DB_HOST: Type.Optional(text('the host of a pooler for tenant connections')),
  TENANT_DB_PORT: Type.Optional(port('the port of a pooler for tenant connections')),
  DISTRIBUTED_DATABASE_ENABLED: flag(true, 'true or false'),
  DISTRIBUTED_CONNECTION_POOLING: flag(true, 'true or false'),
  DISTRIBUTED_MAX_CONNECTIONS: Type.Integer({
    default: 50,
    minimum: 1,
    maximum: 10000,
    description: 'the budget of tenant connections of this process, 1 to 10000',
  }),
  DISTRIBUTED_CONNECTION_TIMEOUT: seconds(30, 'the deadline of a connect'),
  DISTRIBUTED_IDLE_TIMEOUT: seconds(1800, 'how long an idle tenant connection stays open'),
  TENANT_ACQUIRE_TIMEOUT: seconds(2, 'how long a statement waits for the budget'),
  SERVICE_REPLICAS: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 10000, description: 'how many processes run this service, 1 or more' }),
  ),
  SERVICE_CONNECTIONS: Type.Optional(
    Type.Integer({
      minimum: 16,
      maximum: 1000000,
      description: 'the connections that all processes of this service may open together, 16 or more',
    }),
  ),
  DOCKER_ENABLED: Type.Optional(
    Type.Boolean({ description: 'true or false; when left out, whether /.dockerenv exists' }),
  ),
  DB_HEALTH_CHECK_ENABLED: flag(true, 'true or false'),
  DB_HEALTH_CHECK_INTERVAL: seconds(60, 'how often the health of the databases is asked'),
  DB_HEALTH_CHECK_TIMEOUT: seconds(5, 'the deadline of a health check'),
  NATS_URL: Type.String({
    default: 'nats://localhost:4222',
    pattern: '^(nats|tls)://',
    description: 'a URL like nats://user:password@host:4222',
  }),
  NATS_STREAM_REPLICAS: Type.Optional(
    Type.Integer({
      enum: [1, 3, 5],
      description: '1, 3 or 5: how many servers of a NATS cluster keep a copy of the stream',
    }),
  ),
  NATS_STREAM_MANAGED: Type.Enum(['here', 'elsewhere'], { default: 'here', description: 'here or elsewhere' }),
  NATS_CA_FILE: Type.Optional(text('the path of the CA certificates for tls://')),
  REDIS_URL: Type.String({
    default: 'redis://localhost:6379',
    pattern: '^$|^rediss?(\\+(sentinel|cluster))?://',
    description:
      'a URL like redis://:password@host:6379, redis+sentinel://:password@a,b/name or redis+cluster://:password@a,b, or empty for a memory cache only',
  }),
  REDIS_CA_FILE: Type.Optional(text('the path of the CA certificates for rediss://')),
  TENANT_CACHE_TTL: seconds(3600, 'how long a lookup stays in Redis'),
  TENANT_HEADER: Type.String({
    default: 'HRMS-Client-ID',
    pattern: '^[A-Za-z0-9-]{1,64}$',
    description: 'the name of a header: letters, digits and hyphens',
  }),
  TENANT_BASE_DOMAIN: Type.Optional(
    Type.String({
      pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$',
      maxLength: 253,
      description: 'the domain whose subdomains are tenants, like hrms.example.com, in lower case',
    }),
  ),
  TENANT_SPARES: Type.Integer({
    default: 3,
    minimum: 0,
    maximum: 1000,
    description: 'spare databases kept, 0 for none',
  }),
  TENANT_MIGRATIONS: Type.Optional(text('the path of the folder with the tenants’ NNN.do.name.sql files')),
  CENTRAL_MIGRATIONS: Type.Optional(text('the path of the folder with the central database’s NNN.do.name.sql files')),
  TENANT_OUTDATED: Type.Enum(['serve', 'refuse'], { default: 'serve', description: 'serve or refuse' }),
  TENANT_RETENTION_DAYS: Type.Integer({
    default: 30,
    minimum: 0,
    maximum: 36500,
    description: 'days a deleted tenant’s database is kept',
  }),
  TENANT_ROLE_SECRET: Type.Optional(
    Type.String({
      pattern: ROLE_SECRET_PATTERN,
      description:
        'like k1:<secret> with 32 or more random characters, older keys after a comma (or TENANT_ROLE_SECRET_FILE)',
    }),
  ),
  ADMIN_TOKEN: Type.Optional(bearers('ADMIN_TOKEN')),
  SERVICE_TOKEN: Type.Optional(bearers('SERVICE_TOKEN')),
  OPERATOR_TOKEN: Type.Optional(
    Type.String({
      pattern:
        '^(read|act|administer):[\\x21-\\x2b\\x2d-\\x7e]{16,}(,(read|act|administer):[\\x21-\\x2b\\x2d-\\x7e]{16,})*$',
      description:
        'like administer:<token>,read:<token>: random tokens of 16 characters or more, each behind its role (or OPERATOR_TOKEN_FILE)',
    }),
  ),
  CONSOLE_SERVICES: Type.Optional(
    Type.String({
      pattern: '^[a-z][a-z0-9]{0,14}=https?://[^,\\s]+(,[a-z][a-z0-9]{0,14}=https?://[^,\\s]+)*$',
      description: 'where the other services are, like employee=http://employee:3002,core=http://core:3003',
    }),
  ),
  IDENTITY_URL: Type.Optional(
    Type.String({ pattern: '^https?://', description: 'the URL of the identity service, like http://identity:3001' }),
  ),
  TOKEN_KEYS_URL: Type.Optional(
    Type.String({
      pattern: '^https?://',
      description: 'the URL of a key set (JWKS), like https://login.example.com/.well-known/jwks.json',
    }),
  ),
  TOKEN_ISSUER: Type.String({
    default: 'identity-service',
    minLength: 1,
    description: 'the `iss` of the tokens, exactly as in the tokens',
  }),
  TOKEN_AUDIENCE: Type.String({
    default: 'tenant-services',
    minLength: 1,
    description: 'the `aud` of the tokens, exactly as in the tokens',
  }),
  TOKEN_TENANT_CLAIM: Type.String({
    default: 'tenant',
    minLength: 1,
    description: 'the name of the claim with the tenant’s id',
  }),
  TOKEN_ROLES_CLAIM: Type.String({
    default: 'roles',
    minLength: 1,
    description: 'the name of the claim with the list of roles',
  }),
  TRUSTED_PROXIES: Type.Optional(
    Type.String({
      pattern: '^[0-9a-fA-F:./]+(,[0-9a-fA-F:./]+)*$',
      description: 'the addresses of the proxies in front, like 10.0.0.0/8,fd00::/8',
    }),
  ),
  MAX_EVENT_LOOP_DELAY: Type.Integer({
    default: 1_000,
    minimum: 0,
    maximum: 60_000,
    description:
      'milliseconds by which the event loop may be late for two seconds before requests are refused, 0 for any',
  }),
  RATE_LIMIT_PER_ADDRESS: Type.Optional(perMinute('address')),
  RATE_LIMIT_PER_TENANT: Type.Optional(perMinute('tenant')),
  RATE_LIMIT_LOGINS_PER_ADDRESS: Type.Integer({
    default: 120,
    minimum: 0,
    maximum: 1_000_000_000,
    description: 'logins a minute of one address at all tenants together, 0 for any number',
  }),
  EVENT_STREAMS: Type.Integer({
    default: 100,
    minimum: 1,
    maximum: 100_000,
    description: 'event streams open at a time in one process, 1 or more',
  }),
  EVENT_STREAMS_PER_TOKEN: Type.Integer({
    default: 50,
    minimum: 1,
    maximum: 100_000,
    description: 'event streams one token may have open in one process, 1 or more',
  }),
  REQUIRED_SERVICES: Type.String({
    default: 'identity,employee,core',
    pattern: '^[a-z][a-z0-9]{0,14}(,[a-z][a-z0-9]{0,14})*$',
    description: 'the services a tenant needs, like identity,employee,core',
  }),
  METRICS_TOKEN: Type.Optional(
    Type.String({ minLength: 16, description: 'a random token of 16 characters or more (or METRICS_TOKEN_FILE)' }),
  ),
  METRICS_TENANTS: Type.Optional(
    Type.String({
      pattern: '^[a-z0-9-]{1,40}(,[a-z0-9-]{1,40}){0,99}$',
      description: 'at most 100 tenant ids separated by commas, like acme,globex',
    }),
  ),
  HTTP_MAX_CONNECTIONS: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1_000_000, description: 'HTTP connections open at a time, 1 or more' }),
  ),
  SHUTDOWN_NOTICE: Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: 5,
      description: 'how long to go on serving after the signal to stop, in seconds from 0 to 5',
    }),
  ),
  AUDIT_SAMPLE: Type.Number({
    default: 1,
    minimum: 0,
    maximum: 1,
    description: 'the share of accesses that are written to the audit log, 0 to 1',
  }),
  AUDIT_RETENTION_MONTHS: Type.Integer({
    default: 13,
    minimum: 1,
    maximum: 1200,
    description: 'months of audit log kept beside the current one, 1 or more',
  }),
  AUDIT_SECRET: Type.Optional(
    Type.String({ minLength: 32, description: 'a random secret of 32 characters or more (or AUDIT_SECRET_FILE)' }),
  ),
  AUDIT_STREAM: flag(false, 'true or false'),
  PORT: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 65535, description: 'a port from 0 (any free one) to 65535' }),
  ),
  LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    description: 'trace, debug, info, warn, error, fatal or silent',
  }),
  NODE_ENV: Type.String({ default: 'development', description: 'production or anything else' }),
})

export type Environment = Static<typeof environmentSchema>

/** These may come from a file named by NAME_FILE; a trailing newline is dropped. */
export const secretVariables = [
  'DB_PASSWORD',
  'NATS_URL',
  'REDIS_URL',
  'TENANT_ROLE_SECRET',
  'ADMIN_TOKEN',
  'SERVICE_TOKEN',
  'OPERATOR_TOKEN',
  'METRICS_TOKEN',
  'AUDIT_SECRET',
] as const
