-- Requests for leave. The employee lives in another service's database, so it is a reference by value.
create table leave_requests (
  id uuid primary key default gen_random_uuid(),
  employee_ref text not null,
  department_id uuid constraint leave_requests_department_fkey references departments (id) on delete restrict,
  type text not null
    constraint leave_requests_type_check check (type in ('annual', 'sick', 'parental', 'unpaid', 'other')),
  starts_on date not null,
  ends_on date not null,
  status text not null default 'pending'
    constraint leave_requests_status_check check (status in ('pending', 'approved', 'rejected', 'cancelled')),
  reason text,
  decided_by text,
  decided_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint leave_requests_dates_check check (starts_on <= ends_on),
  constraint leave_requests_decided_check check ((status in ('approved', 'rejected')) <= (decided_at is not null))
);

create index leave_requests_page_idx on leave_requests (starts_on, id);
create index leave_requests_employee_idx on leave_requests (employee_ref, starts_on);
create index leave_requests_department_idx on leave_requests (department_id);
