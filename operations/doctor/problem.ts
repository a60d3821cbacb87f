// A finding for the operator: the problem, its subject, and the cure.
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
