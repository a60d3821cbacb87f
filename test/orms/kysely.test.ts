// Kysely in the version that is installed.
import t from 'tap'
import { testKysely } from './kysely.js'

t.test('Kysely', testKysely)
