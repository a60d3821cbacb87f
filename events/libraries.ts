// The libraries of this folder that take long to load (`nats` 50 ms of CPU time, the compiler of TypeBox 80), loaded when they are
// first needed: a command that sends no event and checks nothing does without them.
import { createRequire } from 'node:module'

/** @internal */
type Nats = typeof import('nats')
/** @internal */
type Schemas = typeof import('typebox/schema')

const require = createRequire(import.meta.url)
let nats: Nats | undefined
let schemas: Schemas | undefined

/** @internal */
export function natsLibrary(): Nats {
  nats ??= require('nats') as Nats
  return nats
}

/** Loads the compiler where `require` loads no ES module: in Jest before Node 24.9. */
export async function loadSchemaLibrary(): Promise<void> {
  schemas ??= await import('typebox/schema')
}

/** An ES module without a top-level await, which `require` loads from Node 20.19 and 22.12 on. @internal */
export function schemaLibrary(): Schemas {
  schemas ??= require('typebox/schema') as Schemas
  return schemas
}
