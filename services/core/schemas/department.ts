// The JSON schemas of departments.
import type { Static } from 'typebox'
import { Type } from '../../../events/json-schema.js'
import { nullableText, nullableUuid, page, text, timestamp, uuid } from '../../http/schemas.js'

const code = text(20, 'Unique in the tenant, like ENG; upper and lower case are the same.')

export const Department = Type.Object(
  {
    id: uuid,
    name: text(100),
    code,
    description: nullableText(1000),
    parentId: nullableUuid,
    createdAt: timestamp,
    updatedAt: timestamp,
  },
  { title: 'Department' },
)

const optional = {
  description: Type.Optional(nullableText(1000)),
  parentId: Type.Optional(nullableUuid),
}

export const NewDepartment = Type.Object(
  { name: text(100), code, ...optional },
  { title: 'NewDepartment', additionalProperties: false },
)

export const DepartmentPatch = Type.Object(
  { name: Type.Optional(text(100)), code: Type.Optional(code), ...optional },
  { title: 'DepartmentPatch', additionalProperties: false, minProperties: 1 },
)

export const DepartmentQuery = Type.Object({ ...page }, { additionalProperties: false })

export type Department = Static<typeof Department>
export type NewDepartment = Static<typeof NewDepartment>
export type DepartmentPatch = Static<typeof DepartmentPatch>
export type DepartmentQuery = Static<typeof DepartmentQuery>
