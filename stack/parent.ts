// Notices that the npm which started us is gone. npm ended with SIGKILL passes nothing on, and the shell between npm and
// us does not pass on SIGTERM: without this, the stack would stay up with nobody in front of it.
import { look, type ProcessFact } from './processes.js'

const interval = 500

/** Calls back once when npm, or the shell it started us with, is gone. Does nothing when npm did not start us. */
export function onNpmGone(env: NodeJS.ProcessEnv, gone: () => void): void {
  if (!env.npm_lifecycle_event) return
  const parent = look(process.ppid)
  if (!parent) return
  const grandparent = look(parent.parent)
  // npm -> shell -> us; where the shell has replaced itself by us, our parent is npm and the one above is not our business.
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
