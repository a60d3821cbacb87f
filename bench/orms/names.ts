// The ORMs that are compared, by the names of their arms.
export const orms = ['drizzle', 'kysely', 'pg', 'mikro-orm', 'prisma'] as const
export type OrmName = (typeof orms)[number]

export const ownPoolOf = (orm: OrmName): string => `${orm}, own pool`
