-- The users of one tenant. No passwords yet: signing in comes with its own migration.
create table users (
  id uuid primary key default gen_random_uuid(),
  email text not null,
  display_name text not null,
  role text not null default 'member' constraint users_role_check check (role in ('admin', 'manager', 'member')),
  status text not null default 'active' constraint users_status_check check (status in ('active', 'disabled')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create unique index users_email_key on users (lower(email));
