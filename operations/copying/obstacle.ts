// Owns the words for what stands in the way of an import or a move. Alone, as the command's help loads it too.
export interface Obstacle {
  /** A tenant, a database, a server. */
  readonly about: string
  readonly what: string
  /** Nothing is begun while one of these stands; the others are told. */
  readonly blocks: boolean
}

export const block = (about: string, what: string): Obstacle => ({ about, what, blocks: true })
export const warn = (about: string, what: string): Obstacle => ({ about, what, blocks: false })
