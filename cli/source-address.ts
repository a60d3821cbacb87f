// The address of a server that belongs to no service here: a URL without its password, which comes from
// SOURCE_PASSWORD or SOURCE_PASSWORD_FILE, so that it stands on no command line.

import { UsageError } from '../operations/outcome.js'
import { readSecret } from '../plugins/distributed-tenant/config/environment.js'
import type { DatabaseOptions } from '../plugins/distributed-tenant/config/options.js'

const modes = ['disable', 'prefer', 'require', 'verify-full'] as const

/** @throws UsageError, never with a password in it */
export function sourceAddress(text: string | undefined): DatabaseOptions {
  if (!text)
    throw new UsageError('--from is missing: name the shared server, like postgres://postgres@old-server:5432/central.')
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw new UsageError('--from is no URL: write it like postgres://postgres@old-server:5432/central.')
  }
  if (!/^postgres(ql)?:$/.test(url.protocol) || url.hostname === '') {
    throw new UsageError(
      '--from is no address of PostgreSQL: write it like postgres://postgres@old-server:5432/central.',
    )
  }
  if (url.password !== '') {
    throw new UsageError(
      '--from holds a password, which every user of this machine can read: set SOURCE_PASSWORD instead.',
    )
  }
  const ssl = modes.find(mode => mode === (url.searchParams.get('sslmode') ?? 'prefer'))
  if (!ssl) throw new UsageError(`sslmode in --from must be one of ${modes.join(', ')}.`)
  const sslRootCert = url.searchParams.get('sslrootcert') ?? undefined
  if (ssl === 'verify-full' && !sslRootCert)
    throw new UsageError('sslmode=verify-full in --from needs sslrootcert=<path>.')
  return {
    host: url.hostname,
    port: url.port === '' ? 5432 : Number(url.port),
    database: decodeURIComponent(url.pathname.slice(1)) || 'postgres',
    user: decodeURIComponent(url.username) || 'postgres',
    password: readSecret('SOURCE_PASSWORD'),
    ssl,
    sslRootCert,
  }
}
