// The application's own copy of `pg`, whose classes ours extend.
import { requirePeer } from '../../plugins/distributed-tenant/index.js'

export const pg = requirePeer<typeof import('pg')>('pg')
