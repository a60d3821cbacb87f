// For tests of services: a tenancy on a real PostgreSQL, a server for several test processes, and the plugin without any server.
export { type FakeTenancyOptions, type FakeTenant, fakeTenancy } from './fake.js'
export { type ServerOptions, startTestServer, type TestServer } from './server.js'
export {
  startTestTenancy,
  type TestTenancy,
  type TestTenancyOptions,
  type TestTenant,
  type TestTenantOptions,
} from './tenancy.js'
export type { Injectable, TestUser, TestUserClaims } from './users.js'
