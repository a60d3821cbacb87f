// Parameters that a library has written in PostgreSQL's text form already, as `pg` and the libraries on it do: they go to the
// server as they are, whatever the type is there.

export type WrittenText = string | Buffer | ((type: number) => string)

export class Written {
  readonly #text: WrittenText

  constructor(text: WrittenText) {
    this.#text = text
  }

  /** As a value of this type: bytes are bytes of a `bytea`, and the text of any other. */
  as(type: number): string {
    const text = this.#text
    if (typeof text === 'string') return text
    if (typeof text === 'function') return text(type)
    return type === BYTEA ? `\\x${text.toString('hex')}` : text.toString('utf8')
  }

  /** Characters on the wire; null when writing it may fail. */
  get length(): number | null {
    const text = this.#text
    if (typeof text === 'function') return null
    return typeof text === 'string' ? text.length : 2 * text.length
  }

  toString(): string {
    return this.as(0)
  }
}

const BYTEA = 17

type Serialize = (value: unknown) => unknown

/** The serializer of a type, which leaves parameters as they are that are written already. */
export const pastWritten =
  (type: number, serialize: Serialize): Serialize =>
  value =>
    value instanceof Written ? value.as(type) : serialize(value)
