// An obstacle of an import or a move. In a file of its own, because the command's help loads it too.
export interface Obstacle {
  /** A tenant, a database, a server. */
  readonly about: string
  readonly what: string
  /** With one of these nothing is begun; the others are reported. */
  readonly blocks: boolean
}

export const block = (about: string, what: string): Obstacle => ({ about, what, blocks: true })
export const warn = (about: string, what: string): Obstacle => ({ about, what, blocks: false })
