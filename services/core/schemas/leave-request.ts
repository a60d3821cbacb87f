// The JSON schemas of leave requests. A request is decided by changing its status.
import type { Static } from 'typebox'
import { Type } from '../../../events/json-schema.js'
import { day, nullableText, nullableTimestamp, nullableUuid, page, text, timestamp, uuid } from '../../http/schemas.js'

const type = Type.Enum(['annual', 'sick', 'parental', 'unpaid', 'other'])
const status = Type.Enum(['pending', 'approved', 'rejected', 'cancelled'])
const employeeRef = text(64, 'The employee’s id in the employee service.')

export const LeaveRequest = Type.Object(
  {
    id: uuid,
    employeeRef,
    departmentId: nullableUuid,
    type,
    startsOn: day,
    endsOn: day,
    status,
    reason: nullableText(1000),
    decidedBy: nullableText(100),
    decidedAt: nullableTimestamp,
    createdAt: timestamp,
    updatedAt: timestamp,
  },
  { title: 'LeaveRequest' },
)

export const NewLeaveRequest = Type.Object(
  {
    employeeRef,
    departmentId: Type.Optional(nullableUuid),
    type,
    startsOn: day,
    endsOn: day,
    reason: Type.Optional(nullableText(1000)),
  },
  { title: 'NewLeaveRequest', additionalProperties: false },
)

export const LeaveRequestPatch = Type.Object(
  {
    departmentId: Type.Optional(nullableUuid),
    type: Type.Optional(type),
    startsOn: Type.Optional(day),
    endsOn: Type.Optional(day),
    reason: Type.Optional(nullableText(1000)),
    status: Type.Optional(status),
    decidedBy: Type.Optional(nullableText(100)),
  },
  { title: 'LeaveRequestPatch', additionalProperties: false, minProperties: 1 },
)

export const LeaveRequestQuery = Type.Object(
  {
    ...page,
    status: Type.Optional(status),
    employeeRef: Type.Optional(employeeRef),
    departmentId: Type.Optional(uuid),
  },
  { additionalProperties: false },
)

export type LeaveRequest = Static<typeof LeaveRequest>
export type NewLeaveRequest = Static<typeof NewLeaveRequest>
export type LeaveRequestPatch = Static<typeof LeaveRequestPatch>
export type LeaveRequestQuery = Static<typeof LeaveRequestQuery>
