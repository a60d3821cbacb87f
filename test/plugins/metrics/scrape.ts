// Parses the text of a Prometheus scrape into samples.
import type { FastifyInstance } from 'fastify'

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export function parseScrape(text: string): Sample[] {
  return text
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => {
      const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
      if (name === undefined) throw new Error(`not a sample: ${line}`)
      return {
        name,
        labels: Object.fromEntries(
          [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]),
        ),
        value: Number(value),
      }
    })
}

export async function scrape(app: FastifyInstance, headers: Record<string, string> = {}): Promise<Sample[]> {
  const response = await app.inject({ url: '/metrics', headers })
  if (response.statusCode !== 200) throw new Error(`${response.statusCode}: ${response.body}`)
  return parseScrape(response.body)
}

/** The sum of the samples of a name with these labels; undefined when there is none. */
export function value(
  samples: readonly Sample[],
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const found = samples.filter(
    one => one.name === name && Object.entries(labels).every(([key, wanted]) => one.labels[key] === wanted),
  )
  return found.length === 0 ? undefined : found.reduce((sum, one) => sum + one.value, 0)
}
