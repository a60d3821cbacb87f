// Owns how a request names its tenant.
import type { FastifyRequest } from 'fastify'

/** What one source says: an id, a host name to look up, or nothing. */
export type Identified = { readonly id: string } | { readonly domain: string } | null

/** Reads a tenant from a request. @throws the 400s of identification */
export type Identifier = (request: FastifyRequest) => Identified | Promise<Identified>
