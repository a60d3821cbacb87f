// Owns what a finding is to an operator: what is wrong, with whom, and what to do.
export interface Problem {
  readonly what: string
  /** A tenant, a database, a part. */
  readonly about: string
  /** Where it is, when it is of one instance. */
  readonly instance?: string
  readonly cure: string
  /** Set where it is safe. */
  readonly fix: (() => Promise<void>) | null
}

export const problem = (what: string, about: string, cure: string, fix: Problem['fix'] = null): Problem => ({
  what,
  about,
  cure,
  fix,
})
