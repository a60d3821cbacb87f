// The JSON schemas of employees.
import type { Static } from 'typebox'
import { Type } from '../../../events/json-schema.js'
import { day, email, nullableText, nullableUuid, page, text, timestamp, uuid } from '../../http/schemas.js'

const status = Type.Enum(['active', 'on_leave', 'terminated'])
const employmentType = Type.Enum(['full_time', 'part_time', 'contractor', 'intern', 'temporary'])
const employeeNumber = text(40, 'Unique in the tenant, like E-1001.')
const managerId = nullableUuid

export const Employee = Type.Object(
  {
    id: uuid,
    employeeNumber,
    firstName: text(100),
    lastName: text(100),
    email,
    jobTitle: nullableText(100),
    department: nullableText(100),
    employmentType,
    status,
    hiredOn: day,
    managerId,
    createdAt: timestamp,
    updatedAt: timestamp,
  },
  { title: 'Employee' },
)

const optional = {
  jobTitle: Type.Optional(nullableText(100)),
  department: Type.Optional(nullableText(100)),
  employmentType: Type.Optional(employmentType),
  status: Type.Optional(status),
  managerId: Type.Optional(managerId),
}

export const NewEmployee = Type.Object(
  { employeeNumber, firstName: text(100), lastName: text(100), email, hiredOn: day, ...optional },
  { title: 'NewEmployee', additionalProperties: false },
)

export const EmployeePatch = Type.Object(
  {
    employeeNumber: Type.Optional(employeeNumber),
    firstName: Type.Optional(text(100)),
    lastName: Type.Optional(text(100)),
    email: Type.Optional(email),
    hiredOn: Type.Optional(day),
    ...optional,
  },
  { title: 'EmployeePatch', additionalProperties: false, minProperties: 1 },
)

export const EmployeeQuery = Type.Object(
  {
    ...page,
    status: Type.Optional(status),
    q: Type.Optional(text(100, 'In the name, the e-mail address or the number.')),
  },
  { additionalProperties: false },
)

export type Employee = Static<typeof Employee>
export type NewEmployee = Static<typeof NewEmployee>
export type EmployeePatch = Static<typeof EmployeePatch>
export type EmployeeQuery = Static<typeof EmployeeQuery>
