// What this browser keeps between visits: the theme, and where commands are run. If it keeps nothing, as some are set to: each visit
// begins with the defaults.

export function stored(key) {
  try {
    return localStorage.getItem(`console-${key}`)
  } catch {
    return null
  }
}

export function store(key, value) {
  try {
    localStorage.setItem(`console-${key}`, value)
  } catch {}
}
