// The SQL of one tenant's employees. Lists are in the order of the employee number.
// Violated constraints become errors of this service; a lost database passes through unchanged.
import { createError } from '@fastify/error'
import type { QueryClient } from '../../plugins/distributed-tenant/index.js'
import { naming } from '../../plugins/errors/index.js'
import { anyText, DEFAULT_LIMIT, decodeCursor, paged } from '../http/paging.js'
import { type Columns, containing, rowOf } from '../http/rows.js'
import type { Page } from '../http/schemas.js'
import type { Employee, EmployeePatch, EmployeeQuery, NewEmployee } from './schemas/employee.js'

export const EmployeeNotFound = createError('EMPLOYEE_NOT_FOUND', 'No such employee: check the id.', 404)
export const EmployeeExists = createError(
  'EMPLOYEE_EXISTS',
  'An employee has this number or e-mail address already: change that one, or choose another.',
  409,
)
export const ManagerNotFound = createError(
  'MANAGER_NOT_FOUND',
  'The manager is no employee of this tenant: create the manager first, or leave managerId out.',
  422,
)
export const ManagerInvalid = createError(
  'MANAGER_INVALID',
  'An employee cannot be their own manager: name another manager, or null.',
  422,
)

const constraints = {
  employees_number_key: EmployeeExists,
  employees_email_key: EmployeeExists,
  employees_manager_fkey: ManagerNotFound,
  employees_manager_check: ManagerInvalid,
}

const columns: Columns<Required<EmployeePatch>> = {
  employeeNumber: 'employee_number',
  firstName: 'first_name',
  lastName: 'last_name',
  email: 'email',
  jobTitle: 'job_title',
  department: 'department',
  employmentType: 'employment_type',
  status: 'status',
  hiredOn: 'hired_on',
  managerId: 'manager_id',
}

export function createEmployees(sql: QueryClient) {
  const fields = sql`
    id, employee_number as "employeeNumber", first_name as "firstName", last_name as "lastName", email,
    job_title as "jobTitle", department, employment_type as "employmentType", status,
    to_char(hired_on, 'YYYY-MM-DD') as "hiredOn", manager_id as "managerId",
    created_at as "createdAt", updated_at as "updatedAt"`

  return {
    /** @throws CURSOR_INVALID */
    async list({ limit = DEFAULT_LIMIT, after, status, q }: EmployeeQuery): Promise<Page<Employee>> {
      const key = decodeCursor(after, [anyText])
      const pattern = q === undefined ? null : containing(q)
      const rows = await sql<Employee[]>`
        select ${fields} from employees
        where true
        ${key ? sql`and employee_number > ${key[0] as string}` : sql``}
        ${status ? sql`and status = ${status}` : sql``}
        ${
          pattern
            ? sql`and (first_name || ' ' || last_name ilike ${pattern} or email ilike ${pattern}
                or employee_number ilike ${pattern})`
            : sql``
        }
        order by employee_number limit ${limit + 1}`
      return paged(rows, limit, employee => [employee.employeeNumber])
    },

    /** @throws EMPLOYEE_EXISTS, MANAGER_NOT_FOUND */
    async create(employee: NewEmployee): Promise<Employee> {
      const [created] = await naming(
        constraints,
        sql<[Employee]>`insert into employees ${sql(rowOf(columns, employee))} returning ${fields}`,
      )
      return created
    },

    /** @throws EMPLOYEE_NOT_FOUND */
    async read(id: string): Promise<Employee> {
      const [employee] = await sql<Employee[]>`select ${fields} from employees where id = ${id}`
      if (!employee) throw new EmployeeNotFound()
      return employee
    },

    /** Changes the fields of `patch`. @throws EMPLOYEE_NOT_FOUND, EMPLOYEE_EXISTS, MANAGER_NOT_FOUND, MANAGER_INVALID */
    async change(id: string, patch: EmployeePatch): Promise<Employee> {
      const [employee] = await naming(
        constraints,
        sql<Employee[]>`
          update employees set ${sql(rowOf(columns, patch))}, updated_at = now()
          where id = ${id} returning ${fields}`,
      )
      if (!employee) throw new EmployeeNotFound()
      return employee
    },

    /** The employees they managed then have no manager. @throws EMPLOYEE_NOT_FOUND */
    async remove(id: string): Promise<void> {
      const { count } = await sql`delete from employees where id = ${id}`
      if (count === 0) throw new EmployeeNotFound()
    },
  }
}
