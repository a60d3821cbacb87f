// The services of the stack and what is fixed about each: its port, role and database names. One list for all of stack/. Services of
// the user's own come behind them: own-service.ts.

export const serviceNames = ['identity', 'employee', 'core'] as const

export type ServiceName = (typeof serviceNames)[number]

export const defaultPorts: Record<ServiceName, number> = { identity: 3001, employee: 3002, core: 3003 }

export const roleOf = (name: string) => `${name}_service`

export const databaseOf = (name: string) => `${name}_central`

/** One value for each of the three services, and for those of the user's own. */
export type PerService<T> = Record<ServiceName, T> & Record<string, T>

/** @param own the names of the user's own services */
export function perEach<T>(own: readonly string[], make: (name: string, index: number) => T): PerService<T> {
  const names: readonly string[] = [...serviceNames, ...own]
  return Object.fromEntries(names.map((name, index) => [name, make(name, index)])) as PerService<T>
}

/** A record with one value for each of the three. */
export function perService<T>(make: (name: ServiceName, index: number) => T): Record<ServiceName, T> {
  return Object.fromEntries(serviceNames.map((name, index) => [name, make(name, index)])) as Record<ServiceName, T>
}
