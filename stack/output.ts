// The output of the services, on the launcher's own: on a terminal one short line each with the service's name before it,
// otherwise untouched, so that a log collector gets the JSON it expects.

const levels: Record<number, string> = { 10: 'trace', 20: 'debug', 30: 'info', 40: 'warn', 50: 'error', 60: 'fatal' }
const colours: Record<string, number> = { identity: 36, employee: 35, core: 33 }
const width = 10

export function serviceOutput(stream: NodeJS.WriteStream): (name: string, line: string) => void {
  if (!stream.isTTY) return (_name, line) => stream.write(`${line}\n`)
  return (name, line) => {
    const colour = colours[name] ?? 32
    stream.write(`\u001b[${colour}m${name.padEnd(width)}\u001b[0m${readable(line)}\n`)
  }
}

function readable(line: string): string {
  if (!line.startsWith('{')) return line
  let entry: Record<string, unknown>
  try {
    entry = JSON.parse(line)
  } catch {
    return line
  }
  if (typeof entry.level !== 'number' || typeof entry.time !== 'number') return line
  const time = new Date(entry.time).toISOString().slice(11, 23)
  const parts = [time, levels[entry.level] ?? entry.level, entry.msg ?? '']
  const { req, res, err, responseTime } = entry as {
    req?: { method?: string; url?: string }
    res?: { statusCode?: number }
    err?: { stack?: string; message?: string }
    responseTime?: number
  }
  if (req?.url) parts.push(`${req.method} ${req.url}`)
  if (res?.statusCode) parts.push(`${res.statusCode}`)
  if (responseTime) parts.push(`${Math.round(responseTime)} ms`)
  if (err) parts.push(`\n${err.stack ?? err.message}`)
  return parts.join(' ')
}
