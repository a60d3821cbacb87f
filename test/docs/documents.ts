// Reads the project's documents as data: the tables of a Markdown file, below a heading.
import { readFileSync } from 'node:fs'

/** Everything below `heading` up to the next heading of the same or a higher level. @throws when there is none */
export function section(file: string, heading: string): string {
  const lines = readFileSync(file, 'utf8').split('\n')
  const from = lines.indexOf(heading)
  if (from < 0) throw new Error(`${file} has no line "${heading}"`)
  const level = heading.indexOf(' ')
  const rest = lines.slice(from + 1)
  const to = rest.findIndex(line => /^#+ /.test(line) && line.indexOf(' ') <= level)
  return rest.slice(0, to < 0 ? undefined : to).join('\n')
}

/** The rows of all tables in a text, without their heads; a cell is trimmed. */
export function rows(text: string): string[][] {
  const lines = text.split('\n').filter(line => line.startsWith('|'))
  const isRule = (line: string | undefined): boolean => line !== undefined && /^\|[-| ]+\|$/.test(line)
  return lines
    .filter((line, at) => !isRule(line) && !isRule(lines[at + 1]))
    .map(line =>
      line
        .slice(1, -1)
        .split('|')
        .map(cell => cell.trim()),
    )
}

/** The texts in backticks. */
export const quoted = (cell = ''): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, inside]) => inside as string)
