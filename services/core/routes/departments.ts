// The routes of /api/departments: HTTP in, HTTP out. Rules and storage are in departments.ts.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { idParams, nothing, pageOf, tenantErrors } from '../../http/schemas.js'
import { createDepartments } from '../departments.js'
import { Department, DepartmentPatch, DepartmentQuery, NewDepartment } from '../schemas/department.js'

const tags = ['departments']
const config = { tenant: 'required' } as const
const writers = { tenant: 'required', roles: ['admin', 'manager'] } as const

export const departmentRoutes: FastifyPluginAsyncTypebox = async app => {
  app.get(
    '',
    {
      config,
      schema: {
        tags,
        summary: 'List departments, by name',
        querystring: DepartmentQuery,
        response: { 200: pageOf(Department), ...tenantErrors() },
      },
    },
    async request => createDepartments(request.sql).list(request.query),
  )

  app.post(
    '',
    {
      config: writers,
      schema: {
        tags,
        summary: 'Add a department',
        body: NewDepartment,
        response: { 201: Department, ...tenantErrors(409, 413, 415, 422) },
      },
    },
    async (request, reply) => {
      const department = await createDepartments(request.sql).create(request.body)
      return reply.code(201).header('location', `/api/departments/${department.id}`).send(department)
    },
  )

  app.get(
    '/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Read a department',
        params: idParams,
        response: { 200: Department, ...tenantErrors() },
      },
    },
    async request => createDepartments(request.sql).read(request.params.id),
  )

  app.patch(
    '/:id',
    {
      config: writers,
      schema: {
        tags,
        summary: 'Change the fields in the body',
        params: idParams,
        body: DepartmentPatch,
        response: { 200: Department, ...tenantErrors(409, 413, 415, 422) },
      },
    },
    async request => createDepartments(request.sql).change(request.params.id, request.body),
  )

  app.delete(
    '/:id',
    {
      config: writers,
      schema: {
        tags,
        summary: 'Delete a department',
        description: 'Refused with 409 while leave requests or other departments belong to it.',
        params: idParams,
        response: { 204: nothing, ...tenantErrors(409) },
      },
    },
    async (request, reply) => {
      await createDepartments(request.sql).remove(request.params.id)
      return reply.code(204).send(null)
    },
  )
}
