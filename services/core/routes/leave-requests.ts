// The routes of /api/leave-requests. The rules are in leave-requests.ts. Every user may ask for leave.
import { crudRoutes } from '../../http/crud-routes.js'
import { createLeaveRequests } from '../leave-requests.js'
import { LeaveRequest, LeaveRequestPatch, LeaveRequestQuery, NewLeaveRequest } from '../schemas/leave-request.js'

export const leaveRequestRoutes = crudRoutes({
  name: 'leave-requests',
  one: 'a request for leave',
  listed: 'requests for leave, by first day',
  schemas: { item: LeaveRequest, created: NewLeaveRequest, patch: LeaveRequestPatch, query: LeaveRequestQuery },
  repository: ({ sql }) => createLeaveRequests(sql),
  writers: ['admin', 'manager'],
  adds: 'all',
  changing: 'A request is approved, rejected or cancelled by its status; a decided one can only be cancelled.',
})
