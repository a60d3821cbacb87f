// The hunted service, with an ORM in each of its handlers.
import type { MakeArm } from '../arm.js'
import { overDrizzle } from '../orms/drizzle.js'
import { overKysely } from '../orms/kysely.js'
import { overPg } from '../orms/pg.js'
import { makeHunted } from './routes.js'
import { byOrm } from './ways.js'

export const makeByDrizzle: MakeArm = config => makeHunted(config, byOrm(overDrizzle))
export const makeByKysely: MakeArm = config => makeHunted(config, byOrm(overKysely))
export const makeByPg: MakeArm = config => makeHunted(config, byOrm(overPg))
