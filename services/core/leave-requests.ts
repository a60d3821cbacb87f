// The SQL of one tenant's leave requests, and the allowed order of their statuses. Lists are in the order of the first day.
// Invariant: a decision is made once, on a locked row; after it only a cancellation follows.
import { createError } from '@fastify/error'
import type { QueryClient, SqlClient } from '../../plugins/distributed-tenant/index.js'
import { naming } from '../../plugins/errors/index.js'
import { DEFAULT_LIMIT, decodeCursor, isDay, isUuid, paged } from '../http/paging.js'
import { type Columns, rowOf } from '../http/rows.js'
import type { Page } from '../http/schemas.js'
import type { LeaveRequest, LeaveRequestPatch, LeaveRequestQuery, NewLeaveRequest } from './schemas/leave-request.js'

export const LeaveRequestNotFound = createError('LEAVE_REQUEST_NOT_FOUND', 'No such leave request: check the id.', 404)
export const LeaveRequestDecided = createError(
  'LEAVE_REQUEST_DECIDED',
  'This leave request is decided and can only be cancelled: cancel it and make a new one.',
  409,
)
export const LeaveDatesInvalid = createError(
  'LEAVE_DATES_INVALID',
  'The leave ends before it starts: set endsOn to startsOn or later.',
  422,
)
export const LeaveDepartmentNotFound = createError(
  'LEAVE_DEPARTMENT_NOT_FOUND',
  'The department is none of this tenant: create it first, or leave departmentId out.',
  422,
)

const constraints = {
  leave_requests_dates_check: LeaveDatesInvalid,
  leave_requests_department_fkey: LeaveDepartmentNotFound,
}

type Writable = Omit<LeaveRequest, 'id' | 'createdAt' | 'updatedAt' | 'decidedAt'>

const columns: Columns<Writable> = {
  employeeRef: 'employee_ref',
  departmentId: 'department_id',
  type: 'type',
  startsOn: 'starts_on',
  endsOn: 'ends_on',
  status: 'status',
  reason: 'reason',
  decidedBy: 'decided_by',
}

type Status = LeaveRequest['status']

const isDecision = (status: Status | undefined) => status === 'approved' || status === 'rejected'

/** Pending: anything. Approved: it may still be cancelled, and nothing else. Rejected and cancelled: closed. */
function allows(current: Status, { status, ...rest }: LeaveRequestPatch): boolean {
  if (current === 'pending') return true
  return Object.keys(rest).length === 0 && (status === current || (current === 'approved' && status === 'cancelled'))
}

export function createLeaveRequests(sql: SqlClient) {
  const fieldsOf = (client: QueryClient) => client`
    id, employee_ref as "employeeRef", department_id as "departmentId", type,
    to_char(starts_on, 'YYYY-MM-DD') as "startsOn", to_char(ends_on, 'YYYY-MM-DD') as "endsOn", status, reason,
    decided_by as "decidedBy", decided_at as "decidedAt", created_at as "createdAt", updated_at as "updatedAt"`

  return {
    /** @throws CURSOR_INVALID */
    async list(query: LeaveRequestQuery): Promise<Page<LeaveRequest>> {
      const { limit = DEFAULT_LIMIT, after, status, employeeRef, departmentId } = query
      const key = decodeCursor(after, [isDay, isUuid])
      const rows = await sql<LeaveRequest[]>`
        select ${fieldsOf(sql)} from leave_requests
        where true
        ${key ? sql`and (starts_on, id) > (${key[0] as string}::date, ${key[1] as string}::uuid)` : sql``}
        ${status ? sql`and status = ${status}` : sql``}
        ${employeeRef ? sql`and employee_ref = ${employeeRef}` : sql``}
        ${departmentId ? sql`and department_id = ${departmentId}` : sql``}
        order by starts_on, id limit ${limit + 1}`
      return paged(rows, limit, request => [request.startsOn, request.id])
    },

    /** @throws LEAVE_DATES_INVALID, LEAVE_DEPARTMENT_NOT_FOUND */
    async create(request: NewLeaveRequest): Promise<LeaveRequest> {
      const [created] = await naming(
        constraints,
        sql<[LeaveRequest]>`
          insert into leave_requests ${sql(rowOf<Partial<Writable>>(columns, request))} returning ${fieldsOf(sql)}`,
      )
      return created
    },

    /** @throws LEAVE_REQUEST_NOT_FOUND */
    async read(id: string): Promise<LeaveRequest> {
      const [request] = await sql<LeaveRequest[]>`select ${fieldsOf(sql)} from leave_requests where id = ${id}`
      if (!request) throw new LeaveRequestNotFound()
      return request
    },

    /**
     * Changes the fields of `patch`; a decision is stamped with its time.
     * @throws LEAVE_REQUEST_NOT_FOUND, LEAVE_REQUEST_DECIDED, LEAVE_DATES_INVALID, LEAVE_DEPARTMENT_NOT_FOUND
     */
    async change(id: string, patch: LeaveRequestPatch): Promise<LeaveRequest> {
      return sql.begin(async transaction => {
        const [current] = await transaction<{ status: Status }[]>`
          select status from leave_requests where id = ${id} for update`
        if (!current) throw new LeaveRequestNotFound()
        if (!allows(current.status, patch)) throw new LeaveRequestDecided()
        const decided = current.status === 'pending' && isDecision(patch.status)
        const [changed] = await naming(
          constraints,
          transaction<[LeaveRequest]>`
            update leave_requests set ${transaction(rowOf<Partial<Writable>>(columns, patch))},
              decided_at = ${decided ? transaction`now()` : transaction`decided_at`}, updated_at = now()
            where id = ${id} returning ${fieldsOf(transaction)}`,
        )
        return changed
      })
    },

    /** @throws LEAVE_REQUEST_NOT_FOUND */
    async remove(id: string): Promise<void> {
      const { count } = await sql`delete from leave_requests where id = ${id}`
      if (count === 0) throw new LeaveRequestNotFound()
    },
  }
}
