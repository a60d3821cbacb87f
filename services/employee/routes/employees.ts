// The routes of /api/employees. Rules and storage are in employees.ts.
import { crudRoutes } from '../../http/crud-routes.js'
import { createEmployees } from '../employees.js'
import { Employee, EmployeePatch, EmployeeQuery, NewEmployee } from '../schemas/employee.js'

export const employeeRoutes = crudRoutes({
  name: 'employees',
  one: 'an employee',
  listed: 'employees, by number',
  schemas: { item: Employee, created: NewEmployee, patch: EmployeePatch, query: EmployeeQuery },
  repository: ({ sql }) => createEmployees(sql),
  writers: ['admin', 'manager'],
  deleting: 'The employees they managed then have no manager.',
})
