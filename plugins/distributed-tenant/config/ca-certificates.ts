// The reader of the CA certificates for NATS and Redis: NATS_CA_FILE and REDIS_CA_FILE. Verification itself is never off;
// without a file Node's own authorities count. A file that would have no effect is refused.

import { NoText, readTextFile } from '../../../files/text-file.js'
import { ConfigurationInvalid } from '../errors.js'

const schemes = { NATS_CA_FILE: /^tls:/i, REDIS_CA_FILE: /^rediss(\+(sentinel|cluster))?:/i } as const
const cures = { NATS_CA_FILE: 'tls://', REDIS_CA_FILE: 'rediss://' } as const

/**
 * The text of the certificates (PEM), read once at the start.
 * @throws CONFIGURATION_INVALID when the file cannot be read, holds none, or the URL is not one for TLS
 */
export function readAuthorities(
  name: keyof typeof schemes,
  path: string | undefined,
  url: string | null,
): string | undefined {
  if (!path || url === null) return undefined
  if (!url.split(',').some(part => schemes[name].test(part.trim()))) {
    throw new ConfigurationInvalid(
      `${name} is set but the connection is not encrypted: begin the URL with ${cures[name]}, or leave ${name} out.`,
    )
  }
  let text: string
  try {
    text = readTextFile(path)
  } catch (error) {
    if (error instanceof NoText) throw new ConfigurationInvalid(`The file of ${name} ${error.message}.`)
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigurationInvalid(`${name} cannot be read (${code}): check the path and its permissions.`)
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text
  throw new ConfigurationInvalid(`${name} holds no certificate: it must be a file of certificates in PEM.`)
}
