// Where the operator API of a service stands, for its routes and for those who call it.
export const OPERATOR_PREFIX = '/api/operator'
