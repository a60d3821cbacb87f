// What to try once the stack is up: commands that work as they stand when pasted into another terminal.
import type { StackInfo } from './stack-file.js'

export function nextSteps(info: StackInfo, fileWritten: string, ownServers: boolean): string {
  const { identity, employee, core, ...own } = info.services
  const others = Object.entries(own).map(([name, { url }]) => `\n${name.padEnd(10)}${url}`)
  const nats = new URL(info.nats.url)
  const login = JSON.stringify({ verbose: false, user: nats.username, pass: nats.password })
  return `
identity  ${identity.url}   (API: ${identity.url}/api/docs)
employee  ${employee.url}
core      ${core.url}${others.join('')}
console   ${identity.url}/console   (any name, token ${info.operatorToken})

Make a tenant and wait until all services can serve it:
  curl -XPOST ${identity.url}/api/tenants -H 'authorization: Bearer ${info.adminToken}' -H 'content-type: application/json' \\
    -H 'prefer: wait=60' -d '{"id":"acme","name":"Acme Corporation","domain":"acme.hrms.local","admin":{"email":"ada@acme.example","password":"correct horse battery"}}'

Sign in as its first user; in development the tenant's name alone will do too:
  curl -XPOST ${identity.url}/api/login -H 'HRMS-Client-ID: acme' -d '{"email":"ada@acme.example","password":"correct horse battery"}'

Its employees, in its own database:
  curl ${employee.url}/api/employees -H 'HRMS-Client-ID: acme'

Make one by event, with the nats command line or without it:
  nats -s ${info.nats.url} pub tenant.created '{"id":"globex","name":"Globex"}'
  B='{"id":"globex","name":"Globex"}'; exec 3<>/dev/tcp/${nats.hostname}/${nats.port}; printf 'CONNECT %s\\r\\nPUB tenant.created %d\\r\\n%s\\r\\nPING\\r\\n' '${login}' \${#B} "$B" >&3; head -2 <&3; exec 3>&-

Health:
  curl ${identity.url}/api/health -H 'authorization: Bearer ${info.adminToken}'; curl ${core.url}/api/health -H 'HRMS-Client-ID: acme'

Stop one service and start it again:
  npm run stack -- stop employee; npm run stack -- start employee

All addresses and passwords: ${fileWritten}
${ownServers ? 'Ctrl-C ends everything and removes its data.' : 'Ctrl-C ends the services; the given servers go on.'}
`
}
