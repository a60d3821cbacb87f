-- The departments of one tenant, a tree.
create table departments (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  code text not null,
  description text,
  parent_id uuid constraint departments_parent_fkey references departments (id) on delete restrict,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint departments_parent_check check (parent_id <> id)
);

create unique index departments_name_key on departments (lower(name));
create unique index departments_code_key on departments (lower(code));
create index departments_parent_idx on departments (parent_id);
