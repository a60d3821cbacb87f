// The routes of /api/employees: HTTP in, HTTP out. Rules and storage are in employees.ts.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { idParams, nothing, pageOf, tenantErrors } from '../../http/schemas.js'
import { createEmployees } from '../employees.js'
import { Employee, EmployeePatch, EmployeeQuery, NewEmployee } from '../schemas/employee.js'

const tags = ['employees']
const config = { tenant: 'required' } as const
const writers = { tenant: 'required', roles: ['admin', 'manager'] } as const

export const employeeRoutes: FastifyPluginAsyncTypebox = async app => {
  app.get(
    '',
    {
      config,
      schema: {
        tags,
        summary: 'List employees, by number',
        querystring: EmployeeQuery,
        response: { 200: pageOf(Employee), ...tenantErrors() },
      },
    },
    async request => createEmployees(request.sql).list(request.query),
  )

  app.post(
    '',
    {
      config: writers,
      schema: {
        tags,
        summary: 'Add an employee',
        body: NewEmployee,
        response: { 201: Employee, ...tenantErrors(409, 413, 415, 422) },
      },
    },
    async (request, reply) => {
      const employee = await createEmployees(request.sql).create(request.body)
      return reply.code(201).header('location', `/api/employees/${employee.id}`).send(employee)
    },
  )

  app.get(
    '/:id',
    {
      config,
      schema: { tags, summary: 'Read an employee', params: idParams, response: { 200: Employee, ...tenantErrors() } },
    },
    async request => createEmployees(request.sql).read(request.params.id),
  )

  app.patch(
    '/:id',
    {
      config: writers,
      schema: {
        tags,
        summary: 'Change the fields in the body',
        params: idParams,
        body: EmployeePatch,
        response: { 200: Employee, ...tenantErrors(409, 413, 415, 422) },
      },
    },
    async request => createEmployees(request.sql).change(request.params.id, request.body),
  )

  app.delete(
    '/:id',
    {
      config: writers,
      schema: {
        tags,
        summary: 'Delete an employee',
        description: 'The employees they managed then have no manager.',
        params: idParams,
        response: { 204: nothing, ...tenantErrors() },
      },
    },
    async (request, reply) => {
      await createEmployees(request.sql).remove(request.params.id)
      return reply.code(204).send(null)
    },
  )
}
