// The services of the stack and what is fixed about each: its port, role and database names. One list for all of stack/.

export const serviceNames = ['identity', 'employee', 'core'] as const

export type ServiceName = (typeof serviceNames)[number]

export const defaultPorts: Record<ServiceName, number> = { identity: 3001, employee: 3002, core: 3003 }

export const roleOf = (name: ServiceName) => `${name}_service`

export const databaseOf = (name: ServiceName) => `${name}_central`

/** A record with one value per service. */
export function perService<T>(make: (name: ServiceName, index: number) => T): Record<ServiceName, T> {
  return Object.fromEntries(serviceNames.map((name, index) => [name, make(name, index)])) as Record<ServiceName, T>
}
