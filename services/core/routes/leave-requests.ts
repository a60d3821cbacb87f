// The routes of /api/leave-requests: HTTP in, HTTP out. The rules are in leave-requests.ts. Every user may ask for leave.
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { idParams, nothing, pageOf, tenantErrors } from '../../http/schemas.js'
import { createLeaveRequests } from '../leave-requests.js'
import { LeaveRequest, LeaveRequestPatch, LeaveRequestQuery, NewLeaveRequest } from '../schemas/leave-request.js'

const tags = ['leave-requests']
const config = { tenant: 'required' } as const
const writers = { tenant: 'required', roles: ['admin', 'manager'] } as const

export const leaveRequestRoutes: FastifyPluginAsyncTypebox = async app => {
  app.get(
    '',
    {
      config,
      schema: {
        tags,
        summary: 'List requests for leave, by first day',
        querystring: LeaveRequestQuery,
        response: { 200: pageOf(LeaveRequest), ...tenantErrors() },
      },
    },
    async request => createLeaveRequests(request.sql).list(request.query),
  )

  app.post(
    '',
    {
      config,
      schema: {
        tags,
        summary: 'Add a request for leave',
        body: NewLeaveRequest,
        response: { 201: LeaveRequest, ...tenantErrors(409, 413, 415, 422) },
      },
    },
    async (request, reply) => {
      const leaveRequest = await createLeaveRequests(request.sql).create(request.body)
      return reply.code(201).header('location', `/api/leave-requests/${leaveRequest.id}`).send(leaveRequest)
    },
  )

  app.get(
    '/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Read a request for leave',
        params: idParams,
        response: { 200: LeaveRequest, ...tenantErrors() },
      },
    },
    async request => createLeaveRequests(request.sql).read(request.params.id),
  )

  app.patch(
    '/:id',
    {
      config: writers,
      schema: {
        tags,
        summary: 'Change the fields in the body',
        description: 'A request is approved, rejected or cancelled by its status; a decided one can only be cancelled.',
        params: idParams,
        body: LeaveRequestPatch,
        response: { 200: LeaveRequest, ...tenantErrors(409, 413, 415, 422) },
      },
    },
    async request => createLeaveRequests(request.sql).change(request.params.id, request.body),
  )

  app.delete(
    '/:id',
    {
      config: writers,
      schema: {
        tags,
        summary: 'Delete a request for leave',
        params: idParams,
        response: { 204: nothing, ...tenantErrors() },
      },
    },
    async (request, reply) => {
      await createLeaveRequests(request.sql).remove(request.params.id)
      return reply.code(204).send(null)
    },
  )
}
