// The routes of /api/departments. Rules and storage are in departments.ts.
import { crudRoutes } from '../../http/crud-routes.js'
import { createDepartments } from '../departments.js'
import { Department, DepartmentPatch, DepartmentQuery, NewDepartment } from '../schemas/department.js'

export const departmentRoutes = crudRoutes({
  name: 'departments',
  one: 'a department',
  listed: 'departments, by name',
  schemas: { item: Department, created: NewDepartment, patch: DepartmentPatch, query: DepartmentQuery },
  repository: ({ sql }) => createDepartments(sql),
  writers: ['admin', 'manager'],
  deleting: 'Refused with 409 while leave requests or other departments belong to it.',
  mayBeInUse: true,
})
