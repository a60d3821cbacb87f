// Counts living objects of this process through the inspector, after a collection: driver instances and open sockets.
// Only reachable objects are counted, not entries of some list.

import { Session } from 'node:inspector/promises'
import { Socket } from 'node:net'

/** Instances of `postgres`: each has one parsed `shared` object with its type map. */
export const driverInstances = (): Promise<number> =>
  countObjects(
    'Object.prototype',
    'function () { return this.filter(one => Object.hasOwn(one, "typeArrayMap")).length }',
  )

/** Sockets that are not destroyed and whose other end is this port. */
export async function socketsTo(port: number): Promise<number> {
  ;(globalThis as Record<string, unknown>).benchSocket = Socket
  return countObjects(
    'globalThis.benchSocket.prototype',
    `function () { return this.filter(one => one.remotePort === ${port} && !one.destroyed).length }`,
  )
}

async function countObjects(prototype: string, count: string): Promise<number> {
  const session = new Session()
  session.connect()
  try {
    const { result } = await session.post('Runtime.evaluate', { expression: prototype })
    const found = await session.post('Runtime.queryObjects', { prototypeObjectId: result.objectId as string })
    const objectId = found.objects.objectId as string
    const counted = await session.post('Runtime.callFunctionOn', {
      objectId,
      functionDeclaration: count,
      returnByValue: true,
    })
    if (counted.exceptionDetails) throw new Error(counted.exceptionDetails.exception?.description ?? 'not counted')
    return counted.result.value as number
  } finally {
    session.disconnect()
  }
}
