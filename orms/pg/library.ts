// The application's own copy of `pg`, whose classes ours extend.
import { requireSupported } from '../supported-version.js'

export const pg = requireSupported<typeof import('pg')>('pg', { major: 8, minor: 11 })
