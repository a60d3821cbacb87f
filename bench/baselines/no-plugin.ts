// Rival of a route that wants no tenant: the same route in a Fastify without the plugin.
import Fastify from 'fastify'
import type { Arm } from '../arm.js'

export function make(): Arm {
  const app = Fastify()
  app.get('/without', () => ({ ok: true }))
  return { app }
}
