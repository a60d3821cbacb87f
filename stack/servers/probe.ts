// Asks a server over TCP whether it serves, with the fewest bytes possible. Never throws: no answer in time is "no".
import { connect } from 'node:net'

/** Connects, sends the given bytes, and checks the reply with `enough`. */
export function answers(
  port: number,
  send: string,
  enough: (received: string) => boolean,
  milliseconds = 1000,
): Promise<boolean> {
  return new Promise(resolve => {
    let received = ''
    const socket = connect({ port, host: '127.0.0.1' })
    const finish = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(milliseconds, () => finish(false))
    socket.on('error', () => finish(false))
    socket.on('close', () => finish(false))
    socket.on('connect', () => send && socket.write(send))
    socket.on('data', data => {
      received += data.toString('latin1')
      if (enough(received)) finish(true)
    })
  })
}
