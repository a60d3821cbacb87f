// Notices the end of the npm that started this process. npm ended with SIGKILL passes nothing on, and the shell between
// does not pass on SIGTERM: without this, the stack would stay up unattended.
import { look, type ProcessFact } from './processes.js'

const interval = 500

/** Calls back once when npm, or the shell in between, has ended. Does nothing when npm did not start this process. */
export function onNpmGone(env: NodeJS.ProcessEnv, gone: () => void): void {
  if (!env.npm_lifecycle_event) return
  const parent = look(process.ppid)
  if (!parent) return
  const grandparent = look(parent.parent)
  // npm -> shell -> this process; where the shell has replaced itself by it, its parent is npm and the one above is ignored.
  const watched = grandparent && isShell(parent) ? [parent, grandparent] : [parent]
  const timer = setInterval(() => {
    if (watched.every(fact => look(fact.pid)?.started === fact.started)) return
    clearInterval(timer)
    gone()
  }, interval)
  timer.unref()
}

function isShell(fact: ProcessFact): boolean {
  return /^-?(sh|dash|bash|zsh|ash|busybox)$/.test(fact.command)
}
