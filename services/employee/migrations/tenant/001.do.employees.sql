-- The people of one tenant. The database is the boundary: no column says whose they are.
create table employees (
  id uuid primary key default gen_random_uuid(),
  employee_number text not null constraint employees_number_key unique,
  first_name text not null,
  last_name text not null,
  email text not null,
  job_title text,
  department text,
  employment_type text not null default 'full_time'
    constraint employees_employment_type_check
    check (employment_type in ('full_time', 'part_time', 'contractor', 'intern', 'temporary')),
  status text not null default 'active'
    constraint employees_status_check check (status in ('active', 'on_leave', 'terminated')),
  hired_on date not null,
  manager_id uuid constraint employees_manager_fkey references employees (id) on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint employees_manager_check check (manager_id <> id)
);

create unique index employees_email_key on employees (lower(email));
create index employees_status_idx on employees (status, employee_number);
-- A manager who leaves is looked for here.
create index employees_manager_idx on employees (manager_id);
