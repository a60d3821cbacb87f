// The hunted service with one MikroORM for all tenants, and a fork of it in each of its handlers.
import type { MakeArm } from '../arm.js'
import { overMikro } from '../orms/of-process.js'
import { makeHunted } from './routes.js'
import { byOrm } from './ways.js'

export const make: MakeArm = config => makeHunted(config, byOrm(overMikro))
