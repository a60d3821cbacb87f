// The SQL of one tenant's departments. Lists are in the order of the name, read as lower case.
// Invariant: they are a tree. A change of a parent holds a lock, so that two of them cannot close a circle together.
import { createError } from '@fastify/error'
import type { QueryClient, SqlClient } from '../../plugins/distributed-tenant/index.js'
import { naming } from '../../plugins/errors/index.js'
import { anyText, DEFAULT_LIMIT, decodeCursor, paged } from '../http/paging.js'
import { type Columns, rowOf } from '../http/rows.js'
import type { Page } from '../http/schemas.js'
import type { Department, DepartmentPatch, DepartmentQuery, NewDepartment } from './schemas/department.js'

export const DepartmentNotFound = createError('DEPARTMENT_NOT_FOUND', 'No such department: check the id.', 404)
export const DepartmentExists = createError(
  'DEPARTMENT_EXISTS',
  'A department has this name or code already: change that one, or choose another.',
  409,
)
export const DepartmentInUse = createError(
  'DEPARTMENT_IN_USE',
  'Leave requests or other departments belong to this department: move or delete them first.',
  409,
)
export const ParentNotFound = createError(
  'PARENT_NOT_FOUND',
  'The parent is no department of this tenant: create it first, or leave parentId out.',
  422,
)
export const ParentInvalid = createError(
  'PARENT_INVALID',
  'A department cannot lie below itself: choose a parent outside of it.',
  422,
)

const written = {
  departments_name_key: DepartmentExists,
  departments_code_key: DepartmentExists,
  departments_parent_fkey: ParentNotFound,
  departments_parent_check: ParentInvalid,
}
const removed = {
  departments_parent_fkey: DepartmentInUse,
  leave_requests_department_fkey: DepartmentInUse,
}

const columns: Columns<Required<DepartmentPatch>> = {
  name: 'name',
  code: 'code',
  description: 'description',
  parentId: 'parent_id',
}

/** One for all of a tenant's departments; the number means nothing outside of this statement. */
const TREE_LOCK = 7_131_001

export function createDepartments(sql: SqlClient) {
  const fieldsOf = (client: QueryClient) => client`
    id, name, code, description, parent_id as "parentId", created_at as "createdAt", updated_at as "updatedAt"`

  async function update(client: QueryClient, id: string, patch: DepartmentPatch): Promise<Department> {
    const [department] = await naming(
      written,
      client<Department[]>`
        update departments set ${client(rowOf(columns, patch))}, updated_at = now()
        where id = ${id} returning ${fieldsOf(client)}`,
    )
    if (!department) throw new DepartmentNotFound()
    return department
  }

  async function refuseCircle(client: QueryClient, id: string, parentId: string): Promise<void> {
    await client`select pg_advisory_xact_lock(${TREE_LOCK})`
    const [circle] = await client`
      with recursive above as (
        select id, parent_id from departments where id = ${parentId}
        union
        select d.id, d.parent_id from departments d join above a on d.id = a.parent_id
      )
      select 1 from above where id = ${id}`
    if (circle) throw new ParentInvalid()
  }

  return {
    /** @throws CURSOR_INVALID */
    async list({ limit = DEFAULT_LIMIT, after }: DepartmentQuery): Promise<Page<Department>> {
      const key = decodeCursor(after, [anyText])
      const rows = await sql<(Department & { key: string })[]>`
        select ${fieldsOf(sql)}, lower(name) as key from departments
        ${key ? sql`where lower(name) > ${key[0] as string}` : sql``}
        order by lower(name) limit ${limit + 1}`
      return paged(rows, limit, department => [department.key])
    },

    /** @throws DEPARTMENT_EXISTS, PARENT_NOT_FOUND */
    async create(department: NewDepartment): Promise<Department> {
      const [created] = await naming(
        written,
        sql<[Department]>`insert into departments ${sql(rowOf(columns, department))} returning ${fieldsOf(sql)}`,
      )
      return created
    },

    /** @throws DEPARTMENT_NOT_FOUND */
    async read(id: string): Promise<Department> {
      const [department] = await sql<Department[]>`select ${fieldsOf(sql)} from departments where id = ${id}`
      if (!department) throw new DepartmentNotFound()
      return department
    },

    /** Changes the fields of `patch`. @throws DEPARTMENT_NOT_FOUND, DEPARTMENT_EXISTS, PARENT_NOT_FOUND, PARENT_INVALID */
    async change(id: string, patch: DepartmentPatch): Promise<Department> {
      const { parentId } = patch
      if (!parentId) return update(sql, id, patch)
      return sql.begin(async transaction => {
        await refuseCircle(transaction, id, parentId)
        return update(transaction, id, patch)
      })
    },

    /** @throws DEPARTMENT_NOT_FOUND, DEPARTMENT_IN_USE */
    async remove(id: string): Promise<void> {
      const { count } = await naming(removed, sql`delete from departments where id = ${id}`)
      if (count === 0) throw new DepartmentNotFound()
    },
  }
}
