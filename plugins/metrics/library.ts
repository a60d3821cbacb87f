// The application's own copy of `prom-client`: its metrics and ours are in one registry.
import { requirePeer } from '../distributed-tenant/index.js'

export const { Counter, Gauge, Histogram, Registry } = requirePeer<typeof import('prom-client')>('prom-client')
