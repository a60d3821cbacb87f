// The verification of a NATS server: by its certificate's chain, time and name, always. A server that fails it, or
// offers no TLS where the URL says tls://, is not connected to.
import { isIP } from 'node:net'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import type { Address } from './address.js'

/** The options that the client passes to Node's TLS. */
export interface ServerCheck {
  readonly rejectUnauthorized: true
  readonly ca?: string
  readonly checkServerIdentity: (name: string, certificate: PeerCertificate) => Error | undefined
}

/** @param ca certificates of authorities in PEM; those Node knows when left out */
export function serverCheck({ hosts }: Address, ca: string | undefined): ServerCheck {
  const addresses = hosts.filter(host => isIP(host) !== 0)
  return {
    rejectUnauthorized: true,
    ...(ca !== undefined && { ca }),
    checkServerIdentity(name, certificate) {
      if (addresses.length === 0 || hosts.includes(name)) return checkServerIdentity(name, certificate)
      // The client has no name for a server given by its address, and Node then checks for `localhost`.
      const refusals = addresses.map(address => checkServerIdentity(address, certificate))
      return refusals.includes(undefined) ? undefined : refusals[0]
    },
  }
}
