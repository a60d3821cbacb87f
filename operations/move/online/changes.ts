// The changes in a slot as pgoutput writes them (protocol 1), read for one thing: which rows were touched. Pure. A row is
// named by the columns of its table's replica identity, as text.

export interface Changed {
  /** Keys by the table's oid, each a JSON list of texts. */
  readonly keys: Map<string, Set<string>>
  /** Oids of tables whose rows cannot be named: truncated ones, and those whose identity is the whole row. */
  readonly whole: Set<string>
}

export const nothingChanged = (): Changed => ({ keys: new Map(), whole: new Set() })

export const countOf = ({ keys }: Changed): number => [...keys.values()].reduce((sum, { size }) => sum + size, 0)

interface Relation {
  readonly full: boolean
  /** Positions of the key's columns. */
  readonly key: readonly number[]
}

/** A reader of one slot's messages in their order. */
export function createChangeReader(into: Changed): (message: Buffer) => void {
  const relations = new Map<string, Relation>()

  function relation(data: Buffer): void {
    let at = 1
    const oid = String(data.readUInt32BE(at))
    at = data.indexOf(0, at + 4) + 1
    at = data.indexOf(0, at) + 1
    const full = data.readUInt8(at) === 0x66
    const columns = data.readUInt16BE(at + 1)
    at += 3
    const key: number[] = []
    for (let column = 0; column < columns; column++) {
      if ((data.readUInt8(at) & 1) === 1) key.push(column)
      at = data.indexOf(0, at + 1) + 1 + 8
    }
    relations.set(oid, { full, key })
  }

  /** @returns the position behind it */
  function tuple(data: Buffer, begin: number, oid: string, known: Relation): number {
    const columns = data.readUInt16BE(begin)
    let at = begin + 2
    const values: (string | null)[] = []
    for (let column = 0; column < columns; column++) {
      const kind = data.readUInt8(at++)
      // An unchanged value that is stored apart is not in the log.
      if (kind === 0x75 && known.key.includes(column)) into.whole.add(oid)
      if (kind !== 0x74 && kind !== 0x62) {
        values.push(null)
        continue
      }
      const length = data.readUInt32BE(at)
      values.push(data.toString('utf8', at + 4, at + 4 + length))
      at += 4 + length
    }
    if (known.full || known.key.length === 0) into.whole.add(oid)
    else {
      const keys = into.keys.get(oid) ?? new Set()
      into.keys.set(oid, keys.add(JSON.stringify(known.key.map(column => values[column]))))
    }
    return at
  }

  return message => {
    const kind = String.fromCharCode(message.readUInt8(0))
    if (kind === 'R') return relation(message)
    if (kind === 'T') {
      const count = message.readUInt32BE(1)
      for (let n = 0; n < count; n++) into.whole.add(String(message.readUInt32BE(6 + 4 * n)))
      return
    }
    if (kind !== 'I' && kind !== 'U' && kind !== 'D') return
    const oid = String(message.readUInt32BE(1))
    const known = relations.get(oid)
    if (!known) throw new Error(`a change of relation ${oid} came before its description`)
    // An update has the old key before the new row when the key was changed.
    let at = 5
    while (at < message.length) at = tuple(message, at + 1, oid, known)
  }
}
